"""The Python reference lists all public names, and no names that don't exist."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autopipe_compat
import autopipe_components.guided
import autopipe_components.latent
import autopipe_components.steps
from autopipe.registry import default_registry
from autopipe.resolution.methods import BroughtMethod
from autopipe.resolution.public import PUBLIC
from autopipe_components.latent import LatentImage2Image, LatentInpaint, LatentText2Image
from autopipe_devkit.scaffold import EXAMPLE

ROOT = Path(__file__).parents[1]
PAGES = {page.stem: page.read_text(encoding="utf-8") for page in ROOT.glob("docs/api/*.md")}
LISTED = [
    line
    for page in PAGES.values()
    for block in re.findall(r"^```\{api\}\n(.*?)^```$", page, re.M | re.S)
    for line in block.splitlines()
    if line and not line.startswith(":")
]
GUIDED = Path(autopipe_components.guided.__file__)
BUILT_ON = [
    "autopipe.manifest",
    "autopipe.pipeline.loop",
    "autopipe_components.cascade",
    "autopipe_components.guided",
    "autopipe_components.latent",
    "autopipe_components.safety",
    "autopipe_components.several",
    *(
        f"autopipe_components.steps.{file.stem}"
        for file in sorted(Path(autopipe_components.steps.__file__).parent.glob("[!_]*.py"))
    ),
]
"""The modules whose public functions and classes are all meant for plugins."""

NAMES = [
    f"autopipe_compat.{file.stem}"
    for file in sorted(Path(autopipe_compat.__file__).parent.glob("[!_]*.py"))
    if file.stem not in ("equals", "family", "tasks")
]
"""The modules of names for programs."""


def load(name: str, *default: object) -> Any:
    """Return the object with a dotted name, or `default` if there is none."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute, *default)


@functools.cache
def listed() -> set[int]:
    return {id(value) for name in LISTED if (value := load(name, None)) is not None}


def is_listed(value: object) -> bool:
    return id(value) in listed()


def public_in(module: str) -> list[str]:
    """Return the public names that a module defines, or a package exports."""
    found = importlib.import_module(module)
    return [
        f"{module}.{name}"
        for name, value in vars(found).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.startswith(module)
    ]


def test_what_is_listed_is_there_and_is_listed_once() -> None:
    assert [name for name in LISTED if load(name, None) is None] == []
    assert sorted(LISTED) == sorted(set(LISTED))


def test_all_that_autopipe_gives_is_listed() -> None:
    assert [name for name in PUBLIC if not is_listed(load(f"autopipe.{name}"))] == []


@pytest.mark.parametrize("name", sorted(default_registry().families))
def test_all_that_a_plugin_brings_is_listed(name: str) -> None:
    manifest = default_registry().families[name]
    others = [one for one in manifest.components if not one.is_public]
    public = [one for one in manifest.components if one not in others]
    named = [*manifest.pipelines, *public, *manifest.exports]
    assert [one.name for one in named if f"autopipe.{one.name}" not in LISTED] == []
    # Classes of transformers have pages of their own.
    own = [one for one in others if one.library != "transformers"]
    for one in [*manifest.addons, *manifest.engines, *own]:
        assert is_listed(load(one.target.replace(":", ".")))


@pytest.mark.parametrize("module", ["autopipe.errors", "autopipe.utils", *BUILT_ON, *NAMES])
def test_all_that_a_module_offers_is_listed(module: str) -> None:
    assert [name for name in public_in(module) if not is_listed(load(name))] == []


def imports(code: str) -> Iterator[str]:
    """Yield the names that absolute `from` imports in Python code import."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_what_examples_import_is_listed() -> None:
    examples = [*EXAMPLE.rglob("*.py"), *ROOT.glob("examples/*.py")]
    examples += ROOT.glob("tests/strangers/*/src/**/*.py")
    codes = [file.read_text(encoding="utf-8") for file in examples]
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        text = document.read_text(encoding="utf-8")
        codes += re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    ours = tuple(f"{package}." for package in {name.partition(".")[0] for name in LISTED})
    names = {name for code in codes for name in imports(code) if name.startswith(ours)}
    there = {name: value for name in names if (value := load(name, None)) is not None}
    missing = [name for name, value in there.items() if not is_listed(value)]
    assert [name for name in missing if not inspect.ismodule(there[name])] == []


def documented() -> Iterator[tuple[str, Any]]:
    """Yield the names and objects that the reference documents, including class members."""
    for name in LISTED:
        value = load(name, None)
        yield name, value
        for base in value.__mro__ if inspect.isclass(value) else ():
            if base.__module__.startswith("autopipe"):
                for member, method in vars(base).items():
                    if not member.startswith("_") or member == "__call__":
                        yield f"{name}.{member}", method


def told(text: str, heading: str) -> list[str]:
    """Return the names that a section of a docstring documents."""
    found = re.search(rf"^{heading}:\n((?: +.*\n?|\n)*)", text, re.M)
    entries = re.findall(r"^    ([^ \n].*?):(?: |$)", found[1], re.M) if found else []
    return [name.strip("*") for entry in entries for name in entry.split(", ")]


def test_docstrings_explain_parameters_that_there_are() -> None:
    wrong = []
    for name, value in documented():
        value = getattr(value, "__func__", value)
        if isinstance(value, BroughtMethod):
            continue  # Its own page documents it.
        if not getattr(value, "__module__", "").startswith("autopipe"):
            continue
        names = told(inspect.getdoc(value) or "", "Args")
        call = value.__init__ if inspect.isclass(value) else value
        if names and names != [n for n in names if n in inspect.signature(call).parameters]:
            wrong.append((name, names))
    assert wrong == []


def hints(cls: type) -> list[str]:
    return list(vars(cls).get("__annotations__", ()))


def test_arguments_that_latent_tasks_read_are_told() -> None:
    told = PAGES["steps"].partition("## What a call takes\n")[2].partition("\n## ")[0]
    read: set[str] = set()
    for file in (*Path(autopipe_components.latent.__path__[0]).glob("*.py"), GUIDED):
        found = re.findall(
            r"\bcall\.(?:get\(\"(\w+)\"|(\w+)\b(?!\())", file.read_text(encoding="utf-8")
        )
        read |= {one for names in found for one in names if one}
    older = {"callback", "callback_steps", "ip_adapter_image", "ip_adapter_image_embeds"}
    names = " ".join(re.findall(r"^\| (`.+?`) \|", told.partition("\n\nPrompts")[0], re.M))
    assert read - older == set(re.findall(r"`(\w+)`", names))


def test_hooks_are_told_by_names_that_there_are() -> None:
    start, end = "## A call of a family that denoises latents\n", "## The record of a call\n"
    section = PAGES["steps"].partition(start)[2].partition(end)[0]
    classes = (LatentText2Image, LatentImage2Image, LatentInpaint)
    there = {name for cls in classes for name in dir(cls)}
    there |= {name for cls in classes for base in cls.__mro__ for name in hints(base)}
    names = set(re.findall(r"`(\w+)`", section)) - {"strength", "Steering"}
    assert names - there == set()
