"""Whatever a plugin raises becomes an error of ours, but for Ctrl-C."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from support.raised import each_error

from autopipe.errors import ArgumentError, PluginError
from autopipe.resolution.guard import guarded
from autopipe.resolution.targets import load_target


@each_error
def test_it_becomes_ours_with_its_kind_and_its_cause(error: BaseException) -> None:
    with pytest.raises(PluginError) as caught, guarded(PluginError):
        raise error
    text = str(caught.value)
    assert text.startswith(type(error).__name__)
    assert len(text) < 1200
    assert "\x1b" not in text
    assert caught.value.__cause__ is error


def test_control_c_and_errors_of_ours_pass() -> None:
    with pytest.raises(KeyboardInterrupt), guarded(PluginError):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), guarded(PluginError, ours=False):
        raise KeyboardInterrupt
    with pytest.raises(ArgumentError, match=r"^size$"), guarded(PluginError):
        raise ArgumentError("size")
    with pytest.raises(PluginError, match="ArgumentError: size"), guarded(PluginError, ours=False):
        raise ArgumentError("size")


@each_error
def test_a_target_that_raises_names_its_package(error: BaseException, monkeypatch) -> None:
    module = ModuleType("hostile_package")

    def missing(name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise error

    module.__getattr__ = missing  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "hostile_package", module)
    with pytest.raises(
        PluginError, match="pip install --force-reinstall --no-deps hostile_package"
    ):
        load_target("hostile_package:Thing")
