"""The table of what diffusers has and autopipe has not is whole, in the errors and on the page."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import autopipe
from autopipe.errors import AutopipeError, NotHereYetError

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

ROOT = Path(__file__).parents[2]
AGAIN = "run: python -m nox -s reference"


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
