"""What a component is: a network, a scheduler, or what prepares inputs and outputs.

A pipeline says which it takes by the annotations of its constructor: a class, or, where any of a
kind will do, `Network`, `Scheduler` or `Processor`.

The bases of our own networks and schedulers are here as far as reading and writing checkpoints
needs them; `ModelMixin` and `SchedulerMixin`, which families build on, add the methods that load
and save.
"""

from __future__ import annotations

import copy
import functools
import inspect
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias, TypeVar

from torch import Tensor, nn

from .config import ConfigMixin, value_in_config
from .constructors import constructors
from .errors import ArgumentTypeError, AutopipeError, SchedulerError

_Scheduler = TypeVar("_Scheduler", bound="BaseScheduler")


class Kind(Enum):
    """The kinds, with what a message calls them."""

    NETWORK = "a network"
    SCHEDULER = "a scheduler"
    PROCESSOR = "a tokenizer or processor"


Network: TypeAlias = Annotated[Any, Kind.NETWORK]
"""The annotation of a constructor's parameter that is a network."""
Scheduler: TypeAlias = Annotated[Any, Kind.SCHEDULER]
"""The annotation of a constructor's parameter that is a scheduler."""
Processor: TypeAlias = Annotated[Any, Kind.PROCESSOR]
"""The annotation of a constructor's parameter that is a tokenizer or processor."""


class BaseNetwork(nn.Module, ConfigMixin):
    """A network whose checkpoint is a config and weights: what `ModelMixin` is built on."""

    config_name: ClassVar[str | None] = "config.json"
    weights_name: ClassVar[str] = "diffusion_pytorch_model"
    _keep_in_fp32_modules: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def convert_state_dict(cls, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """`state` with names of older releases replaced by those of this class. No copy."""
        return state

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            # While it is being made, torch asks whether a name is free before it registers it.
            if not self._is_made or name.startswith("_"):
                raise
        return value_in_config(self, name)


class BaseScheduler(ConfigMixin):
    """A scheduler, whose checkpoint is its config: what `SchedulerMixin` is built on."""

    config_name: ClassVar[str | None] = "scheduler_config.json"
    config_error: ClassVar[type[AutopipeError]] = SchedulerError

    def copy(self: _Scheduler) -> _Scheduler:
        """An independent scheduler with the same config and the state of this one."""
        return copy.deepcopy(self)


class Several(Protocol):
    """A component of several networks, whose folders are side by side in a checkpoint.

    Its class is called with the list of them.

    Attributes:
        part_class: the class of each.
        parts: the networks.
    """

    part_class: ClassVar[type]
    parts: Any

    @staticmethod
    def part_name(name: str, number: int) -> str:
        """The folder of part `number`, from 0, of the component `name`."""

    def __init__(self, parts: list[Any]) -> None: ...


def kind_of(cls: type) -> Kind:
    """Of what kind objects of `cls` are."""
    if issubclass(cls, nn.Module):
        return Kind.NETWORK
    return Kind.SCHEDULER if issubclass(cls, BaseScheduler) else Kind.PROCESSOR


def shared(component: Any) -> Any:
    """What a second pipeline gets of a component: the same object, but a copy of a scheduler."""
    return component.copy() if isinstance(component, BaseScheduler) else component


def is_function(component: object) -> bool:
    """Whether a component is a function of the program's own, which can't be saved."""
    return inspect.isroutine(component) or isinstance(component, functools.partial)


@dataclass(frozen=True)
class Slot:
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
            cls = component if isinstance(component, type) else type(component)
            what = "the class" if cls is component else "a"
            hint = ""
            if Kind.SCHEDULER in self.kinds and isinstance(component, (str, type)):
                hint = f"; make a scheduler with its class's from_config(pipe.{name}.config)"
            raise ArgumentTypeError(
                f"{name}= must be {self}{such}, or None, and is {what} "
                f"{cls.__module__}.{cls.__name__}{hint}"
            )

    def __str__(self) -> str:
        return " or ".join(kind.value for kind in Kind if kind in self.kinds)


def slot_of(cls: type) -> Slot:
    """The slot for an object of `cls`, or one of the same kind."""
    return Slot(frozenset({kind_of(cls)}), (cls,))


@functools.cache
def slots_of(pipeline: type) -> Mapping[str, Slot]:
    """What `pipeline`'s constructor says about its parameters; those that take anything are absent.

    A constructor with names that only a type checker knows says nothing.
    """
    found: dict[str, Slot | None] = {}
    for init in reversed([*constructors(pipeline)]):
        try:
            hints = typing.get_type_hints(init, include_extras=True)
        except (NameError, AttributeError, TypeError):
            continue
        found.update({name: _slot(hint) for name, hint in hints.items() if name != "return"})
    return {name: slot for name, slot in found.items() if slot is not None}


def check_given(pipeline: type, components: Mapping[str, object]) -> None:
    """Raise `ArgumentTypeError` if one of `components` can't be where `pipeline` would have it."""
    slots = slots_of(pipeline) if components else {}
    for name, component in components.items():
        if name in slots and component is not None:
            slots[name].check(component, name)


def _slot(hint: Any) -> Slot | None:
    """What an annotation stands for; None if it can be anything."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        kinds = frozenset(note for note in hint.__metadata__ if isinstance(note, Kind))
        return Slot(kinds) if kinds else _slot(hint.__origin__)
    if origin in (typing.Union, types.UnionType):
        parts = [_slot(part) for part in typing.get_args(hint) if part is not types.NoneType]
        known = [part for part in parts if part is not None]
        if not known or len(known) < len(parts):
            return None
        kinds = frozenset().union(*(part.kinds for part in known))
        return Slot(kinds, tuple(base for part in known for base in part.bases))
    vague = hint in (Any, object) or getattr(hint, "_is_protocol", False)
    if vague or not isinstance(hint, type):
        return None
    return slot_of(hint)


def _is(component: object, kind: Kind) -> bool:
    """Whether an object is of `kind`, or behaves so; a list of networks is one.

    Programs put objects of their own in place of networks and schedulers: another runtime's
    network, or a function as safety checker.
    """
    if isinstance(component, type):
        return False
    if kind is Kind.SCHEDULER:
        steps = (getattr(component, name, None) for name in ("set_timesteps", "step"))
        return isinstance(component, BaseScheduler) or all(map(callable, steps))
    several = component if isinstance(component, (list, tuple)) and component else (component,)
    if all(isinstance(one, nn.Module) for one in several):
        return kind is Kind.NETWORK
    if isinstance(component, BaseScheduler) or not callable(component):
        return False
    return kind is Kind.PROCESSOR or not hasattr(component, "save_pretrained")
