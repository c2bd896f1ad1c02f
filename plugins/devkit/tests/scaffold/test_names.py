"""The package of a new family gives its classes, and loads them only then."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from autopipe_devkit.scaffold import create


def test_its_classes_are_imported_from_the_package_when_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = create("lazy_zoo", tmp_path / "project", ["text2image"])
    monkeypatch.syspath_prepend(str(project / "src"))
    import autopipe_lazy_zoo  # type: ignore[import-not-found]

    try:
        assert "autopipe_lazy_zoo.text2image" not in sys.modules
        pipeline = autopipe_lazy_zoo.LazyZooPipeline
        assert pipeline.__module__ == "autopipe_lazy_zoo.text2image"
        with pytest.raises(AttributeError, match="LazyZooInpaintPipeline"):
            _ = autopipe_lazy_zoo.LazyZooInpaintPipeline
        with pytest.raises(ImportError, match="LazyZooPipelin"):
            from autopipe_lazy_zoo import LazyZooPipelin  # noqa: F401
    finally:
        for name in [name for name in sys.modules if name.startswith("autopipe_lazy_zoo")]:
            del sys.modules[name]
