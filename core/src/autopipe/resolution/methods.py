"""Methods that packages bring to the classes of pipelines and networks.

Each is a descriptor of the base class, so subclasses can override it and call `super()`. Its target
is imported at the first use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ..errors import NotHereYetError
from ..wording import logger, shown
from .hints import dist_of, pip_line
from .reference import Absent, missing_attribute
from .targets import load_target

_log = logger(__name__)

_receivers: list[tuple[type, str]] = []


Entries: TypeAlias = Callable[[str], Mapping[str, Any]]
"""Returns the manifest entries of a kind, by name, as they are now."""


class BroughtMethod:
    """A method whose target is imported at its first use; it behaves as what the target names.

    It is absent while no plugin brings it. The target names a function, or another descriptor such
    as a property.
    """

    def __init__(self, kind: str, name: str, entries: Entries) -> None:
        self._kind, self._name, self._entries = kind, name, entries

    def __get__(self, instance: object, owner: type) -> Any:
        entry = self._entries(self._kind).get(self._name)
        if entry is None:
            raise AttributeError(f"{owner.__name__!r} has no attribute {shown(self._name)}")
        found = load_target(entry.target)
        return found.__get__(instance, owner) if hasattr(found, "__get__") else found


def missing_method(owner: object, name: str, otherwise: str) -> AttributeError:
    """Return the error for an absent attribute of a pipeline or network: what brings it, or why.

    Args:
        otherwise: the message for a name that neither a package nor diffusers has.
    """
    kind = type(owner).__name__
    for cls, of in _receivers:
        dist = dist_of(name, of) if isinstance(owner, cls) else None
        if dist is not None:
            return NotHereYetError(
                f"{kind} has no {name} without the package {dist}. Run: {pip_line(dist)}"
            )
    return missing_attribute(kind, name, "methods", otherwise)


def add_receiver(cls: type, kind: str) -> None:
    """Let `bring_all` give `cls` the methods of `kind`."""
    if (cls, kind) not in _receivers:
        _receivers.append((cls, kind))


def bring_all(entries: Entries) -> None:
    """Give every receiver the methods of its kind.

    A method that the class itself has is left out, with a warning.
    """
    for cls, kind in _receivers:
        for name, entry in entries(kind).items():
            known = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
            if known is None or isinstance(known, Absent):
                setattr(cls, name, BroughtMethod(kind, name, entries))
            elif not isinstance(known, BroughtMethod):
                _log.warning(
                    "%s has its own %s, so the %s %s of a package is not used",
                    cls.__name__,
                    name,
                    kind,
                    shown(entry.target),
                )
