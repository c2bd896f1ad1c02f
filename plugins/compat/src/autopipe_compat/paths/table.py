"""What stands for each name of diffusers' modules: an object of ours, or what to do instead.

`names.json` has the modules of diffusers with their names; `python -m nox -s reference` writes it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import autopipe
from autopipe.registry import default_registry
from autopipe.resolution.hints import dist_of
from autopipe.resolution.public import PUBLIC
from autopipe.resolution.targets import load_target
from autopipe.wording import logger

from ..equals import EQUALS

_LOGGER = "logger"
"""The name of the logger that each module of diffusers has."""


@functools.cache
def table() -> Mapping[str, Any]:
    """The content of `names.json`.

    `instead` has sentences by a key, and `modules` has by path: a key whose sentence stands for
    every name, or a mapping with the names that are `here`, and others by key, in text.
    """
    file = Path(__file__).with_name("names.json")
    content: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


@functools.cache
def _paths() -> frozenset[str]:
    """All modules, with those above them."""
    parts = [path.split(".") for path in table()["modules"]]
    return frozenset(".".join(one[: end + 1]) for one in parts for end in range(len(one)))


def is_path(path: str) -> bool:
    """Whether diffusers has a module of this path, below its top."""
    return path in _paths()


def names_of(path: str) -> list[str]:
    """The names and modules in the module `path` that are here."""
    entry = table()["modules"].get(path)
    names = entry["here"].split() if isinstance(entry, Mapping) else []
    start = f"{path}."
    below = {one.removeprefix(start).partition(".")[0] for one in _paths() if one.startswith(start)}
    return sorted({*names, *below})


def has(name: str) -> bool:
    """Whether an object of ours has this name, or stands for it.

    The path doesn't matter: programs for older releases look for names where they were then.
    """
    known = name in EQUALS or name in PUBLIC or name == _LOGGER
    return known or default_registry().target(name) is not None


def is_published(name: str) -> bool:
    """Whether a package of this project that isn't installed has this name."""
    return dist_of(name, "name") is not None


def target_of(path: str, name: str) -> Any:
    """Return the object that stands for `name` in the module `path`.

    Raises:
        MissingPluginError: if the package that has it is not installed.
    """
    if name in EQUALS:
        return load_target(EQUALS[name])
    if name == _LOGGER:
        return logger(f"autopipe.{path}")
    return getattr(autopipe, name)


def instead_of(path: str, name: str) -> str | None:
    """Return what to do instead of a name that is not here; None if diffusers doesn't have it."""
    while path not in table()["modules"]:
        if "." not in path:
            return None
        path = path.rpartition(".")[0]
    entry = table()["modules"][path]
    if isinstance(entry, Mapping):
        found = (key for key, names in entry.items() if key != "here" and name in names.split())
        entry = next(found, None)
    sentence: str | None = table()["instead"].get(entry)
    return sentence
