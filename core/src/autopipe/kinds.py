"""What a component is: a network, a scheduler, or what prepares inputs and outputs.

A pipeline says which it takes by the annotations of its constructor: a class, or, where any of a
kind will do, `Network`, `Scheduler` or `Processor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from torch import nn

from .errors import ArgumentTypeError
from .scheduling import SchedulerMixin


class Kind(Enum):
    """The kinds, with what a message calls them."""

    NETWORK = "a network"
    SCHEDULER = "a scheduler"
    PROCESSOR = "a tokenizer or processor"


Network: TypeAlias = Annotated[Any, Kind.NETWORK]
Scheduler: TypeAlias = Annotated[Any, Kind.SCHEDULER]
Processor: TypeAlias = Annotated[Any, Kind.PROCESSOR]


def kind_of(cls: type) -> Kind:
    """Of what kind objects of `cls` are."""
    if issubclass(cls, nn.Module):
        return Kind.NETWORK
    return Kind.SCHEDULER if issubclass(cls, SchedulerMixin) else Kind.PROCESSOR


@dataclass(frozen=True)
class Place:
    """What a pipeline's constructor takes for one component.

    Any class of the `kinds` will do, since what counts is how it behaves, and any that inherits
    from one of the `bases`.
    """

    kinds: frozenset[Kind]
    bases: tuple[type, ...] = ()

    def takes(self, cls: type) -> bool:
        """Whether an object of `cls` can be here."""
        return kind_of(cls) in self.kinds or issubclass(cls, self.bases)

    def check(self, component: object, name: str) -> None:
        """Raise `ArgumentTypeError` if `component`, given by a caller, can't be here."""
        fits = any(_is(component, kind) for kind in self.kinds)
        if not fits and not isinstance(component, self.bases):
            such = f", such as a {self.bases[0].__name__}" if self.bases else ""
            raise ArgumentTypeError(
                f"{name}= must be {self}{such}, or None, and is a "
                f"{type(component).__module__}.{type(component).__name__}"
            )

    def __str__(self) -> str:
        return " or ".join(kind.value for kind in Kind if kind in self.kinds)


def place_of(cls: type) -> Place:
    """Where an object of `cls`, or one of the same kind, can be."""
    return Place(frozenset({kind_of(cls)}), (cls,))


def places_of(pipeline: type) -> Mapping[str, Place]:
    """What `pipeline`'s constructor says about its parameters; those that take anything are absent.

    A constructor with names that only a type checker knows says nothing.
    """
    try:
        hints = get_type_hints(pipeline.__init__, include_extras=True)  # type: ignore[misc]
    except (NameError, AttributeError, TypeError):
        return {}
    places = {name: _place(hint) for name, hint in hints.items() if name != "return"}
    return {name: place for name, place in places.items() if place is not None}


def check_given(pipeline: type, components: Mapping[str, object]) -> None:
    """Raise `ArgumentTypeError` if one of `components` can't be where `pipeline` would have it."""
    places = places_of(pipeline) if components else {}
    for name, component in components.items():
        if name in places and component is not None:
            places[name].check(component, name)


def _place(hint: Any) -> Place | None:
    """What an annotation stands for; None if it can be anything."""
    origin = get_origin(hint)
    if origin is Annotated:
        kinds = frozenset(note for note in hint.__metadata__ if isinstance(note, Kind))
        return Place(kinds) if kinds else _place(hint.__origin__)
    if origin in (Union, UnionType):
        parts = [_place(part) for part in get_args(hint) if part is not NoneType]
        known = [part for part in parts if part is not None]
        if not known or len(known) < len(parts):
            return None
        kinds = frozenset().union(*(part.kinds for part in known))
        return Place(kinds, tuple(base for part in known for base in part.bases))
    vague = hint in (Any, object) or getattr(hint, "_is_protocol", False)
    if vague or not isinstance(hint, type):
        return None
    return place_of(hint)


def _is(component: object, kind: Kind) -> bool:
    """Whether an object is of `kind`; a list of networks is one, a processor is any callable."""
    if kind is Kind.SCHEDULER:
        return isinstance(component, SchedulerMixin)
    if kind is Kind.PROCESSOR:
        return callable(component) and not isinstance(component, (nn.Module, SchedulerMixin, type))
    several = component if isinstance(component, (list, tuple)) and component else (component,)
    return all(isinstance(one, nn.Module) for one in several)
