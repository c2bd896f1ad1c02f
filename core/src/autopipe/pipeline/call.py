"""One call of a pipeline, which owns all state that changes during it.

`pipeline_call` decorates the `__call__` of a pipeline class. The body runs on a *run*: a view of
the same components that shares no mutable state. Its schedulers are copies, its `_interrupt` and
guidance are its own, and step callbacks receive it. So one pipeline serves many threads, and a call
leaves no trace in the pipeline. `run.call` is the record of the arguments, which all steps read.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar, cast, runtime_checkable

import torch

from ..errors import ArgumentTypeError, CancelledError, nearest
from ..placement.allocator import keeping_memory
from ..registry import default_registry
from ..scheduling import SchedulerMixin
from ..wording import shown
from .engines import EnginesMixin
from .progress import check_settings, progress_bar
from .turns import guard
from .values import readers_of, settled

_Parameters = ParamSpec("_Parameters")
_Output = TypeVar("_Output")


_OF_ALL = ("adapters", "cancellation")
"""The arguments that every call accepts, even if the class doesn't name them."""


@runtime_checkable
class Cancellation(Protocol):
    """A request to stop: a `threading.Event`, or an event of asyncio or multiprocessing."""

    def is_set(self) -> bool:
        """Whether the call should stop."""


class Arguments(Mapping[str, Any]):
    """The arguments of one call, including defaults, as an immutable mapping with attributes.

    Use `arguments.get("clip_skip")` in steps that also serve calls without such a parameter.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"this call has no argument {shown(name)}; name it in the signature of __call__, or "
            f"read it by get"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("the arguments of a call are immutable; use replace(name=value)")

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def __repr__(self) -> str:
        return f"Arguments({', '.join(self)})"

    def replace(self, **changes: Any) -> Arguments:
        """Return these arguments with other values, or with additional arguments."""
        return Arguments({**self, **changes})


class CallMixin(EnginesMixin):
    """Monitors and stops the calls of a pipeline: progress, interruption, cancellation."""

    scheduler: Any
    call: Arguments
    """Inside a call: its arguments, including those that attachments add."""
    added_arguments: Mapping[str, Any] = MappingProxyType({})
    """Inside a call: its arguments that the signature of its class doesn't name."""
    is_run = False
    """Whether this is the run of a call, not the pipeline that was called."""
    _whole: CallMixin | None = None
    _num_timesteps = 0
    _calls: set[CallMixin]
    _calls_lock: threading.Lock
    _interrupted: bool
    _cancelled: bool
    _cancellation: Cancellation | None = None
    _progress_bar_config: dict[str, Any]

    _of_calls: ClassVar[frozenset[str]] = frozenset(
        {"_calls", "_calls_lock", "_interrupted", "_cancelled", "_cancellation", "is_run"}
        | {"_whole", "call", "added_arguments", "_snapshot", "_num_timesteps"}
    )
    """The attributes that are not copied, because they belong to one object and its calls."""

    def _reset_call_state(self) -> None:
        """Give this object its own call state, without calls."""
        self._calls, self._calls_lock = set(), threading.Lock()
        self._interrupted = self._cancelled = False

    @property
    def interrupt(self) -> bool:
        """Whether the remaining steps of the call are skipped."""
        return self._interrupted or (self._whole is not None and self._whole.interrupt)

    @property
    def _interrupt(self) -> bool:
        return self._interrupted

    @_interrupt.setter
    def _interrupt(self, value: bool) -> None:
        self._interrupted = bool(value)
        with self._calls_lock:
            for run in self._calls:
                run._interrupted = bool(value)

    def cancel(self) -> None:
        """Make the running calls raise `CancelledError` at the next opportunity.

        Can be called from any thread. Later calls are not affected. On the pipeline that a step
        callback receives, it cancels only that call. To cancel one call from outside, use its
        argument `cancellation`.
        """
        self._cancelled = self.is_run
        with self._calls_lock:
            for run in self._calls:
                run._cancelled = True

    def check_cancelled(self) -> None:
        """Raise `CancelledError` if the running call was cancelled."""
        token = self._cancellation
        if self._cancelled or (token is not None and token.is_set()):
            raise CancelledError("the call was cancelled; the pipeline can be called again")
        if self._whole is not None:
            self._whole.check_cancelled()

    @property
    def num_timesteps(self) -> int:
        """Inside a call: the number of timesteps of its schedule."""
        return self._num_timesteps

    @staticmethod
    def tokenizing(tokenizer: object) -> threading.RLock:
        """Return the lock to hold while using a tokenizer, whose state is not thread-safe."""
        return guard(tokenizer)

    def progress_bar(self, iterable: Iterable[Any] | None = None, total: int | None = None) -> Any:
        """Return a tqdm bar over `iterable`, or of `total` steps, with this pipeline's settings."""
        return progress_bar(self._progress_bar_config, iterable, total)

    def set_progress_bar_config(self, **kwargs: Any) -> None:
        """Set keywords of tqdm for all later calls, such as `disable=True`.

        Raises:
            ArgumentTypeError: if tqdm has no such keyword, or doesn't accept the value.
        """
        check_settings(kwargs)
        self._progress_bar_config = dict(kwargs)


def pipeline_call(
    call: Callable[_Parameters, _Output | tuple[Any, ...]],
) -> Callable[_Parameters, _Output]:
    """Decorate the `__call__` of a pipeline to be re-entrant, cancellable and without gradients.

    In addition to its named parameters, the call accepts those of attachments, `adapters`, and
    `cancellation`: a `Cancellation`, such as a `threading.Event`. If it is set, before or during
    the call and from any thread, it stops only this call.

    For type checkers, the call keeps its parameters and returns its output. With
    `return_dict=False` it returns a tuple of the values, which they also treat as an output.

    A subclass may decorate its own `__call__` and call `super().__call__` in it, which is part of
    the same run.

    Raises:
        ArgumentTypeError: if an argument is unknown, given twice, missing, or not of the type that
            the signature declares (see `autopipe.pipeline.values`).
        ArgumentError: if a number is not valid for its parameter, or text can't be encoded.
        ClosedPipelineError: if the pipeline is closed.
        CancelledError: if `cancel()` is called during the call, or `cancellation` is set.
    """
    signature = inspect.signature(call)
    readers = functools.cache(lambda: readers_of(call))
    body: Callable[..., Any] = call

    @functools.wraps(call)
    def wrapped(self: CallMixin, *args: Any, **kwargs: Any) -> Any:
        attached = self._attached
        added = _taken(self, signature, kwargs)
        bound = _bound(self, signature, args, kwargs, added)
        bound.arguments = settled(readers(), bound.arguments)
        (_, *args), kwargs = bound.args, bound.kwargs  # type: ignore[assignment]
        bound.apply_defaults()
        values = {name: value for name, value in bound.arguments.items() if name != "self"}
        arguments = Arguments({**values, **added})
        if self.is_run and type(self).__call__ is not wrapped:
            # `super().__call__` of a class that wraps the call of its base.
            outer, self.call = self.call, arguments.replace(**self.added_arguments)
            try:
                return body(self, *args, **kwargs)
            finally:
                self.call = outer
        self._pool.check_open(self)
        run = _begin(self)
        run.call, run.added_arguments, run._snapshot = arguments, added, attached
        run._cancellation = _token(arguments)
        run.check_cancelled()
        with self._calls_lock:
            self._calls.add(run)
        try:
            with (
                self._pool.call(run, run.check_cancelled),
                keeping_memory(run._execution_device),
                torch.no_grad(),
            ):
                adapters = vars(arguments).get("adapters")
                if attached or self._pool.engines or adapters is not None:
                    run._take_attached(adapters)
                return body(run, *args, **kwargs)
        finally:
            with self._calls_lock:
                self._calls.discard(run)

    return cast(Callable[_Parameters, _Output], wrapped)


def _begin(pipe: CallMixin) -> CallMixin:
    """Return a run of `pipe`: the same components, with its own schedulers and call state."""
    run = object.__new__(type(pipe))
    run.__dict__.update(pipe.__dict__)
    run._reset_call_state()
    run.is_run, run._replaced = True, {}
    for name, component in pipe.components.items():
        if isinstance(component, SchedulerMixin):
            run.__dict__[name] = component.copy()
        elif pipe._pool.was_attached:
            # Without the current attachments: the call makes its own views.
            run.__dict__[name] = component
    return run


def _taken(
    self: CallMixin, signature: inspect.Signature, kwargs: dict[str, Any]
) -> Mapping[str, Any]:
    """Remove from `kwargs` the arguments that only attachments name, and return them."""
    if not self._attached and not any(name in kwargs for name in _OF_ALL):
        return {}
    # Several attachments can have the same inputs.
    names = dict.fromkeys((*_OF_ALL, *self._inputs()))
    return {name: kwargs.pop(name, None) for name in names if name not in signature.parameters}


def _token(arguments: Arguments) -> Cancellation | None:
    """Return the `cancellation` of a call, or None."""
    token = vars(arguments).get("cancellation")
    if token is not None and (isinstance(token, type) or not isinstance(token, Cancellation)):
        raise ArgumentTypeError(
            f"cancellation must be a threading.Event, or another object with is_set(), not "
            f"{shown(token)}"
        )
    return token


def _bound(
    self: object,
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    added: Mapping[str, Any],
) -> inspect.BoundArguments:
    try:
        return signature.bind(self, *args, **kwargs)
    except TypeError as error:
        known = [*(p for p in signature.parameters if p != "self"), *added]
        takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
        unknown = next((name for name in kwargs if name not in known), None)
        hint = "" if takes_any or unknown is None else _hint(unknown, known)
        raise ArgumentTypeError(f"calling {type(self).__name__}: {error}.{hint}") from None


def _hint(unknown: str, known: Iterable[str]) -> str:
    for addon in default_registry().of("addon").values():
        if any(unknown == one.name for one in addon.inputs):
            return f" It belongs to the add-on {shown(addon.name)}; attach that first."
    return nearest(unknown, known) or f" Known: {', '.join(known)}."
