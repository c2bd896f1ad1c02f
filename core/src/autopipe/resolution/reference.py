"""What programs written for diffusers ask for and is not here yet: text for errors.

The table is data, `reference.json`, written by `python -m nox -s reference` from what diffusers
and all packages of this project have. It is read when a name is missing, and never before.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

from ..errors import NotHereYetError, NotHereYetImportError


@functools.cache
def instead_of(kind: str) -> Mapping[str, str]:
    """What to do instead, by name.

    Args:
        kind: `"names"` that diffusers exports, `"methods"` of its classes, or `"modules"`.
    """
    content = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))
    return {name: group["instead"] for group in content[kind] for name in group["names"]}


def missing_attribute(owner: str, name: str, kind: str, otherwise: str) -> AttributeError:
    """The error for `owner.name`: that it is not here yet, or else `otherwise`."""
    instead = instead_of(kind).get(name)
    if instead is None:
        return AttributeError(otherwise)
    return NotHereYetError(f"{owner} has no {name} yet, which diffusers has; {instead}")


def check_import(name: str) -> None:
    """Raise `NotHereYetImportError` if `from autopipe import name` is what diffusers has.

    It is asked for what is neither a name nor a module here.
    """
    for kind, what in (("names", f"from autopipe import {name}"), ("modules", f"autopipe.{name}")):
        instead = instead_of(kind).get(name)
        if instead is not None:
            raise NotHereYetImportError(
                f"{what} doesn't work yet, though diffusers has it; {instead}", name=name
            )


class Absent:
    """A class method of diffusers that is not here yet: asking for it says so, `hasattr` is False.

    What an instance lacks needs no mark: its `__getattr__` looks into the same table.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> object:
        text = f"type object {owner.__name__!r} has no attribute {self._name!r}"
        raise missing_attribute(owner.__name__, self._name, "methods", text)
