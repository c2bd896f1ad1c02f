"""Two plugins that the kit is tried on: the scaffold's example, and a stranger's with its tasks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch.distributed.tensor  # noqa: F401 - saving imports it, and it can't be imported twice

import autopipe.auto
from autopipe.manifest import Family
from autopipe.registry import default_registry, register
from autopipe_devkit.scaffold import EXAMPLE


@pytest.fixture
def doodle(monkeypatch: pytest.MonkeyPatch) -> Iterator[Family]:
    """The example's manifest, registered; its modules are imported anew for each test."""
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    with registered("autopipe_doodle.family", "autopipe_doodle", monkeypatch) as family:
        yield family


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Family]:
    """The stranger's manifest, registered; its module is imported anew for each test."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "toys"))
    with registered("autopipe_toys", "autopipe_toys", monkeypatch) as family:
        yield family


@contextmanager
def registered(module: str, package: str, patch: pytest.MonkeyPatch) -> Iterator[Family]:
    patch.setattr("autopipe.registry._default", default_registry())
    family: Family = importlib.import_module(module).autopipe_family()
    register(family)
    yield family
    for name in [name for name in sys.modules if name.startswith(package)]:
        del sys.modules[name]
    # Public names that were looked up are kept there.
    public = [entry.name for entry in (*family.pipelines, *family.components)]
    public += [task.auto_class for task in family.tasks]
    for keeper in (autopipe, autopipe.auto):
        for name in set(public) & vars(keeper).keys():
            delattr(keeper, name)
