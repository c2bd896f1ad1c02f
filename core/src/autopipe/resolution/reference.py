"""Names of diffusers that autopipe doesn't have yet, and what to use instead: text for errors.

The table is `reference.json`, which `python -m nox -s reference` writes from diffusers and all
packages of this project. It is read only when a name is missing.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

from ..errors import NotHereYetError, NotHereYetImportError


@functools.cache
def instead_of(kind: str) -> Mapping[str, str]:
    """What to use instead, by name.

    Args:
        kind: `"names"` that diffusers exports, `"methods"` of its classes, or `"community"`
            pipelines.
    """
    content = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))
    return {name: group["instead"] for group in content[kind] for name in group["names"]}


def missing_attribute(owner: str, name: str, kind: str, otherwise: str) -> AttributeError:
    """Return `NotHereYetError` if diffusers has `owner.name`, else an error with `otherwise`."""
    instead = instead_of(kind).get(name)
    if instead is None:
        return AttributeError(otherwise)
    return NotHereYetError(f"{owner} has no {name} yet, which diffusers has; {instead}")


def check_import(name: str) -> None:
    """Check an import of a `name` that is neither a name nor a module of autopipe.

    Raises:
        NotHereYetImportError: if diffusers has it.
    """
    instead = instead_of("names").get(name)
    if instead is not None:
        raise NotHereYetImportError(
            f"from autopipe import {name} doesn't work yet, though diffusers has it; {instead}",
            name=name,
        )


class Absent:
    """A class method of diffusers that is not here yet: access raises, `hasattr` is False.

    Instance methods need no marker: `__getattr__` reads the same table.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> object:
        text = f"type object {owner.__name__!r} has no attribute {self._name!r}"
        raise missing_attribute(owner.__name__, self._name, "methods", text)
