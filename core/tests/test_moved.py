"""Names that moved to another distribution are found there, or it is said where to get it."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

from autopipe.errors import MissingPluginError

MOVED = [
    ("autopipe.testing", "Conformance", "autopipe_devkit.conformance", "autopipe-devkit"),
    *(
        ("autopipe.cascade", name, "autopipe_components.cascade", "autopipe-components")
        for name in ("FirstStage", "cascade", "load_stage")
    ),
]
each_name = pytest.mark.parametrize(("module", "name", "home", "dist"), MOVED)


@each_name
def test_it_is_the_object_of_its_new_place(
    module: str, name: str, home: str, dist: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = ModuleType(home)
    setattr(there, name, object())
    monkeypatch.setitem(sys.modules, home.partition(".")[0], ModuleType("package"))
    monkeypatch.setitem(sys.modules, home, there)
    assert getattr(importlib.import_module(module), name) is getattr(there, name)


@each_name
def test_without_the_distribution_the_error_says_what_to_install(
    module: str, name: str, home: str, dist: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, home.partition(".")[0], None)
    with pytest.raises(MissingPluginError, match=f"to {home}, .* pip install {dist}"):
        exec(f"from {module} import {name}")


@pytest.mark.parametrize("module", sorted({module for module, *_ in MOVED}))
def test_other_names_are_not_looked_for_elsewhere(module: str) -> None:
    with pytest.raises(AttributeError, match="no attribute 'subject'"):
        importlib.import_module(module).subject  # noqa: B018
