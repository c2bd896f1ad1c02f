"""The kinds of components: networks, schedulers, and processors of inputs and outputs.

A pipeline declares its components by the annotations of its constructor: a class, or `Network`,
`Scheduler` or `Processor` if any object of that kind will do.

The base classes here have what reading and writing checkpoints needs. `ModelMixin` and
`SchedulerMixin`, which families subclass, add the methods that load and save.
"""

from __future__ import annotations

import copy
import functools
import inspect
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from .config import ConfigMixin, value_in_config
from .constructors import constructors
from .errors import ArgumentTypeError, AutopipeError, SchedulerError

_Scheduler = TypeVar("_Scheduler", bound="BaseScheduler")


class Kind(Enum):
    """The kinds of components, each with its name for messages."""

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
    """A network whose checkpoint is a config and weights; the base of `ModelMixin`.

    Attributes:
        weights_name: the stem of its weight files.
        pickle_name: the stem of pickled weight files; None for `weights_name`.
    """

    config_name: ClassVar[str | None] = "config.json"
    weights_name: ClassVar[str] = "diffusion_pytorch_model"
    pickle_name: ClassVar[str | None] = None
    _keep_in_fp32_modules: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def convert_state_dict(cls, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the state dict with parameter names of older releases renamed, without copying."""
        return state

    def fitted_state(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the state dict of files with the parameter names of this network."""
        return self.convert_state_dict(state)

    @classmethod
    def kept_in_fp32(cls, dtype: torch.dtype | None) -> Collection[str]:
        """Return the parts of parameter names that stay float32 when loaded as `dtype`."""
        return cls._keep_in_fp32_modules

    def record_origin(self, folder: Path) -> None:
        """Record in the config that the weights come from `folder`."""
        self.register_to_config(_name_or_path=str(folder))

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            # During construction, torch asks whether a name is free before it registers it.
            if not self._is_made or name.startswith("_"):
                raise
        return value_in_config(self, name)


class BaseScheduler(ConfigMixin):
    """A scheduler, whose checkpoint is its config; the base of `SchedulerMixin`."""

    config_name: ClassVar[str | None] = "scheduler_config.json"
    config_error: ClassVar[type[AutopipeError]] = SchedulerError

    def copy(self: _Scheduler) -> _Scheduler:
        """Return an independent scheduler with the config and state of this one."""
        return copy.deepcopy(self)


class BaseProcessor:
    """A tokenizer or image processor in place of the class of transformers that has its name.

    It reads and writes the same files, and gives the same numbers.
    """


class Several(Protocol):
    """A component that consists of several networks, each with its own folder in a checkpoint.

    The class is called with the list of networks.

    Attributes:
        part_class: the class of each network.
        parts: the networks.
    """

    part_class: ClassVar[type]
    parts: Any

    @staticmethod
    def part_name(name: str, number: int) -> str:
        """Return the folder of part `number` (counted from 0) of the component `name`."""

    def __init__(self, parts: list[Any]) -> None: ...


def part_names(kind: Any, name: str, number: int) -> Sequence[str]:
    """Return the folders in which a part of a `Several` may be, first the one that is written.

    A class that others write differently has a static method `read_names` besides `part_name`.
    """
    read_names = getattr(kind, "read_names", None)
    return (kind.part_name(name, number),) if read_names is None else read_names(name, number)


def kind_of(cls: type) -> Kind:
    """Return the kind of objects of `cls`."""
    if issubclass(cls, nn.Module):
        return Kind.NETWORK
    return Kind.SCHEDULER if issubclass(cls, BaseScheduler) else Kind.PROCESSOR


def shared(component: Any) -> Any:
    """Return a component for a second pipeline: a copy of a scheduler, else the same object."""
    return component.copy() if isinstance(component, BaseScheduler) else component


def is_function(component: object) -> bool:
    """Whether a component is a plain function, which can't be saved."""
    return inspect.isroutine(component) or isinstance(component, functools.partial)


@dataclass(frozen=True)
class Slot:
    """What a pipeline's constructor accepts for one component.

    Accepted are objects of one of the `kinds`, whatever their class, and instances of the `bases`.
    """

    kinds: frozenset[Kind]
    bases: tuple[type, ...] = ()

    def takes(self, cls: type) -> bool:
        """Whether an object of `cls` is accepted."""
        return kind_of(cls) in self.kinds or issubclass(cls, self.bases)

    def check(self, component: object, name: str) -> None:
        """Raise `ArgumentTypeError` if `component` is not accepted; `name` is for the message."""
        fits = any(_is(component, kind) for kind in self.kinds)
        if not fits and not isinstance(component, self.bases):
            such = f" such as {self.bases[0].__name__}" if self.bases else ""
            cls = component if isinstance(component, type) else type(component)
            what = "the class " if cls is component else ""
            origin = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
            hint = ""
            if Kind.SCHEDULER in self.kinds and isinstance(component, (str, type)):
                hint = f"; call from_config(pipe.{name}.config) of a scheduler class"
            raise ArgumentTypeError(
                f"{name} must be {self}{such} or None, not {what}{origin}{cls.__name__}{hint}"
            )

    def __str__(self) -> str:
        return " or ".join(kind.value for kind in Kind if kind in self.kinds)


def slot_of(cls: type) -> Slot:
    """Return the slot for objects of `cls` or of the same kind."""
    return Slot(frozenset({kind_of(cls)}), (cls,))


@functools.cache
def slots_of(pipeline: type) -> Mapping[str, Slot]:
    """Return the slots that the annotations of a pipeline's constructor declare, by parameter.

    Parameters that accept anything are absent, as are those of constructors whose annotations
    only a type checker can resolve.
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
    """Raise `ArgumentTypeError` if `pipeline` doesn't accept one of the `components`."""
    slots = slots_of(pipeline) if components else {}
    for name, component in components.items():
        if name in slots and component is not None:
            slots[name].check(component, name)


def _slot(hint: Any) -> Slot | None:
    """Return the slot that an annotation declares; None if it accepts anything."""
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
    # Programs annotate schedulers by an enumeration of their names.
    if vague or not isinstance(hint, type) or issubclass(hint, Enum):
        return None
    return slot_of(hint)


def _is(component: object, kind: Kind) -> bool:
    """Whether an object is of `kind` or behaves like one; a list of networks counts as a network.

    Programs may use their own objects as networks and schedulers, such as the network of another
    runtime, or a function as safety checker.
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
