"""The table of what diffusers has and autopipe has not is whole, in the errors and on the page."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from pathlib import Path
from typing import Any

import pytest

import autopipe
from autopipe.errors import AutopipeError, NotHereYetError

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

ROOT = Path(__file__).parents[2]
AGAIN = "run: python -m nox -s reference"

LOOKED_IN = (
    "diffusers.utils",
    "diffusers.utils.logging",
    "diffusers.utils.hub_utils",
    "diffusers.utils.torch_utils",
    "diffusers.training_utils",
    "diffusers.optimization",
    "diffusers.image_processor",
    "diffusers.models.lora",
)
"""The modules of functions that programs call."""

WITHOUT = {"is_modular", "update_model_card"}
"""Parameters for what is not here."""


@pytest.fixture(scope="module")
def tool() -> Any:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools/reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_that_of_what_is_installed(tool: Any) -> None:
    made = tool.table()
    assert tool.FILE.read_text(encoding="utf-8") == tool.text(made), AGAIN
    page = tool.DOCS.read_text(encoding="utf-8")
    assert page == tool.page(page, made), AGAIN
    assert tool.PATHS.read_text(encoding="utf-8") == tool.lines(tool.paths()), AGAIN


def test_every_name_of_every_module_is_here_or_says_what_to_do(tool: Any) -> None:
    modules = list(tool.modules_of(diffusers))
    assert len(modules) > 1000
    silent, count = [], 0
    for path, names in modules:
        module = importlib.import_module(f"autopipe_compat.paths.{path}")
        for name in names:
            try:
                count += getattr(module, name) is not None
            except NotHereYetError as error:
                silent += [] if "; " in str(error) else [f"{path}:{name}"]
            except (AttributeError, AutopipeError):
                silent.append(f"{path}:{name}")
    assert not silent, AGAIN
    assert count > 500


def test_names_that_are_here_are_called_as_there() -> None:
    """A class or function of ours has the parameters of theirs, in order, where both have names."""
    equals = importlib.import_module("autopipe_compat.equals").EQUALS
    checked = 0
    for name in sorted(equals):
        theirs = next(
            (
                getattr(module, name)
                for module in map(importlib.import_module, LOOKED_IN)
                if hasattr(module, name)
            ),
            None,
        )
        ours = getattr(importlib.import_module("autopipe.utils"), name)
        if not inspect.isfunction(theirs) or not inspect.isfunction(ours):
            continue
        wanted = [
            one.name
            for one in inspect.signature(theirs).parameters.values()
            if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD and one.name not in WITHOUT
        ]
        given = list(inspect.signature(ours).parameters)
        assert given[: len(wanted)] == wanted, name
        checked += 1
    assert checked > 50


def test_every_public_name_is_here_or_says_that_it_is_not() -> None:
    names = {name for names in diffusers._import_structure.values() for name in names}
    silent = []
    for name in sorted(names):
        try:
            getattr(autopipe, name)
        except NotHereYetError:
            assert not hasattr(autopipe, name)
        except (AttributeError, AutopipeError):
            silent.append(name)
    assert not silent, AGAIN


@pytest.mark.parametrize(
    "name", ["StableDiffusionPipeline", "StableDiffusionXLPipeline", "IFPipeline"]
)
def test_every_method_of_a_pipeline_is_there_or_says_that_it_is_not(name: str) -> None:
    ours, theirs = getattr(autopipe, name), getattr(diffusers, name)
    pipe = object.__new__(ours)
    pipe.__dict__.update(ours.__new__(ours).__dict__)
    lacking = [n for n in dir(theirs) if not n.startswith("_") and not hasattr(ours, n)]
    for one in lacking:
        with pytest.raises(NotHereYetError):
            getattr(pipe, one)
