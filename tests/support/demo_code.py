"""Opens the training code of a demo, which is no installed package, under a name of its own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def open_demo(name: str, folder: Path) -> None:
    """Make the package in `folder` importable as `name`."""
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
