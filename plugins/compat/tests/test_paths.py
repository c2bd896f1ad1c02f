"""The modules of diffusers: what is in them, and what those say that are not here."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import autopipe
from autopipe.errors import MissingPluginError, NotHereYetError, NotHereYetImportError
from autopipe.resolution.targets import load_target
from autopipe_compat.equals import EQUALS, EXPORTED
from autopipe_compat.paths.table import has, instead_of, is_path, is_published, names_of, table

IMPORTED = Path(__file__).with_name("imported.json")
"""What 91 public repositories import from diffusers: the names by module."""

NEEDS_MORE = {"ControlNetOutput", "StableDiffusionXLWatermarker"}
"""Names whose family must be installed."""


def imported() -> list[tuple[str, str]]:
    content = json.loads(IMPORTED.read_text(encoding="utf-8"))
    return [(module, name) for module, names in content.items() for name in names.split()]


@pytest.mark.parametrize(("module", "name"), imported())
def test_what_programs_import_is_here_or_says_what_to_do(module: str, name: str) -> None:
    where = f"autopipe.{module}" if module else "autopipe"
    try:
        found = getattr(importlib.import_module(where), name)
    except NotHereYetError:
        with pytest.raises(NotHereYetImportError, match="; "):
            exec(f"from {where} import {name}")
    except MissingPluginError:
        with pytest.raises(MissingPluginError, match="autopipe-"):
            exec(f"from {where} import {name}")
    else:
        assert found is not None
        exec(f"from {where} import {name}")


@pytest.mark.parametrize(
    "statement",
    [
        "from autopipe.schedulers.scheduling_ddim import DDIMScheduler as x",
        "from autopipe.schedulers import DDIMScheduler as x",
        "from autopipe.pipelines import DDIMScheduler as x",
    ],
)
def test_a_name_is_that_of_autopipe_itself(statement: str) -> None:
    found: dict[str, Any] = {}
    exec(statement, found)
    assert found["x"] is autopipe.DDIMScheduler


@pytest.mark.parametrize("name", sorted(set(EQUALS) - NEEDS_MORE))
def test_every_equal_exists(name: str) -> None:
    assert load_target(EQUALS[name]) is not None


@pytest.mark.parametrize("name", EXPORTED)
def test_names_of_the_top_are_there(name: str) -> None:
    assert getattr(autopipe, name) is load_target(EQUALS[name])


def test_modules_are_attributes_of_modules() -> None:
    import autopipe.utils

    assert autopipe.utils.logging.get_logger("x").name == "x"
    assert autopipe.models.unets.unet_2d_condition.UNet2DConditionModel.__name__
    assert autopipe.pipelines.stable_diffusion.StableDiffusionPipeline
    assert autopipe.schedulers.logger.name == "autopipe.schedulers"


def test_what_a_module_has_is_listed() -> None:
    module = importlib.import_module("autopipe.schedulers")
    assert "DDIMScheduler" in dir(module)
    assert "scheduling_ddim" in dir(module)
    assert "HeliosScheduler" not in dir(module)
    assert all(hasattr(module, name) for name in module.__all__)


def test_all_names_of_a_module_can_be_imported() -> None:
    found: dict[str, Any] = {}
    exec("from autopipe.schedulers import *", found)
    assert found["DDIMScheduler"] is autopipe.DDIMScheduler
    assert "scheduling_ddim" not in found


def test_a_name_that_is_not_here_says_what_to_do() -> None:
    with pytest.raises(
        NotHereYetImportError, match=r"pipelines\.qwenimage has no QwenImagePipeline.*plugin"
    ):
        exec("from autopipe.pipelines.qwenimage import QwenImagePipeline")
    module = importlib.import_module("autopipe.schedulers")
    with pytest.raises(NotHereYetError, match="choose one of"):
        module.HeliosScheduler  # noqa: B018
    assert not hasattr(module, "HeliosScheduler")


def test_a_package_that_is_not_installed_is_named() -> None:
    script = (
        "import autopipe.pipelines.kandinsky as module\n"
        "try:\n"
        "    module.KandinskyPipeline\n"
        "except ImportError as error:\n"
        "    print(error)\n"
        "assert 'KandinskyPipeline' not in module.__all__\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "AUTOPIPE_DISABLE": "kandinsky21"},
    )
    assert "autopipe-kandinsky21" in ended.stdout, ended.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "from autopipe.schedulers import NoSuchScheduler",
        "import autopipe.schedulers.no_such_module",
        "import autopipe.pipelines.no_such_family.pipeline",
        "from autopipe.utils import no_such_function",
    ],
)
def test_what_diffusers_has_not_is_absent_as_ever(statement: str) -> None:
    with pytest.raises(ImportError) as caught:
        exec(statement)
    assert not isinstance(caught.value, NotHereYetImportError)


def test_the_table_is_sound() -> None:
    modules, sentences = table()["modules"], table()["instead"]
    used = set()
    for path, entry in modules.items():
        assert is_path(path)
        if isinstance(entry, str):
            used.add(entry)
            continue
        used |= set(entry) - {"here"}
        names = [name for names in entry.values() for name in names.split()]
        assert len(names) == len(set(names)), path
    assert used == set(sentences)
    assert all(len(one) > 10 for one in sentences.values())


def test_every_name_that_the_table_has_here_is_here() -> None:
    for path in table()["modules"]:
        for name in names_of(path):
            there = is_path(f"{path}.{name}") or has(name) or is_published(name)
            assert there, (path, name)
            assert not has(name) or instead_of(path, name) is None, (path, name)


def test_importing_a_path_imports_nothing_heavy() -> None:
    script = (
        "import sys, autopipe.schedulers.scheduling_ddim, autopipe.pipelines.stable_diffusion\n"
        "import autopipe.utils.import_utils\n"
        "assert autopipe.utils.import_utils.is_torch_available()\n"
        "heavy = {'torch', 'numpy', 'PIL', 'transformers'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=300).returncode == 0
