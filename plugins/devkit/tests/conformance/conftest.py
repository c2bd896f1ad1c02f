"""The family of the scaffold's example, as the subject that the kit is tried on."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from autopipe.manifest import Family
from autopipe.registry import default_registry, register
from autopipe_devkit.scaffold import EXAMPLE


@pytest.fixture
def doodle(monkeypatch: pytest.MonkeyPatch) -> Iterator[Family]:
    """The example's manifest, registered; its modules are imported anew for each test."""
    monkeypatch.setattr("autopipe.registry._default", default_registry())
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    from autopipe_doodle.family import autopipe_family

    family: Family = autopipe_family()
    register(family)
    yield family
    import autopipe

    for name in [name for name in sys.modules if name.startswith("autopipe_doodle")]:
        del sys.modules[name]
    # Public names that were looked up are kept there.
    for name in [name for name in vars(autopipe) if name.startswith("Doodle")]:
        delattr(autopipe, name)
