"""One call of a pipeline: what changes during it belongs to it.

`pipeline_call` decorates the `__call__` of a pipeline class. The body runs on a *run*: a view of
the same components that shares nothing that changes. Its schedulers are copies, its `_interrupt`
and guidance are its own, and it is what a step callback receives. So one pipeline serves many
threads, and a call leaves no trace in the pipeline. `run.call` is the record of its arguments,
which every step reads instead of being handed them one by one.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, ParamSpec, Protocol, TypeVar, cast, runtime_checkable

import torch

from ..attaching.attachment import Attachment
from ..errors import ArgumentTypeError, CancelledError, nearest
from ..registry import default_registry
from ..scheduling import SchedulerMixin
from ..wording import shown
from .attaching import AttachingMixin
from .progress import check_settings, progress_bar
from .turns import guard
from .values import readers_of, settled

_Parameters = ParamSpec("_Parameters")
_Output = TypeVar("_Output")


_OF_ALL = ("adapters", "cancellation")
"""The arguments that every call takes, whether or not the class names them."""


@runtime_checkable
class Cancellation(Protocol):
    """What says whether to stop: a `threading.Event`, or one of asyncio or multiprocessing."""

    def is_set(self) -> bool:
        """Whether the call is to end."""


class Arguments(Mapping[str, Any]):
    """The arguments of one call by name, defaults included; also as attributes. It is constant.

    `arguments.get("clip_skip")` is for steps that serve calls without such a parameter too.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"this call has no argument {shown(name)}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("the arguments of a call are constant; use replace(name=value)")

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def __repr__(self) -> str:
        return f"Arguments({', '.join(self)})"

    def replace(self, **changes: Any) -> Arguments:
        """The same with other values, or further arguments."""
        return Arguments({**self, **changes})


class CallMixin(AttachingMixin):
    """Following the calls of a pipeline and stopping them: progress, interrupting, cancelling."""

    scheduler: Any
    call: Arguments
    """Inside a call: its arguments, with those that attachments add."""
    added_arguments: Mapping[str, Any] = MappingProxyType({})
    """Inside a call: those of its arguments that the signature of its class doesn't name."""
    is_run = False
    """Whether this is the run of a call, and not the pipeline that was called."""
    _snapshot: Mapping[str, Attachment]
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
    """The attributes that belong to one object and its calls."""

    def _reset_call_state(self) -> None:
        """Give the object call state of its own, and no calls of others."""
        self._calls, self._calls_lock = set(), threading.Lock()
        self._interrupted = self._cancelled = False

    @property
    def interrupt(self) -> bool:
        """Whether the call's remaining steps are to be skipped."""
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
        """Make the calls that are running raise `CancelledError` at the next opportunity.

        May be called from any thread. Later calls are not affected. On the pipeline that a step
        callback receives, it cancels that call alone; so does `cancellation=` of a call, from
        outside.
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
        """Inside a call: how many timesteps its schedule has."""
        return self._num_timesteps

    @staticmethod
    def tokenizing(tokenizer: object) -> threading.RLock:
        """The lock to hold while using a tokenizer, whose state is not thread-safe."""
        return guard(tokenizer)

    def progress_bar(self, iterable: Iterable[Any] | None = None, total: int | None = None) -> Any:
        """A tqdm bar over `iterable`, or of `total` steps, with this pipeline's settings."""
        return progress_bar(self._progress_bar_config, iterable, total)

    def set_progress_bar_config(self, **kwargs: Any) -> None:
        """Set keywords of tqdm for all later calls, such as `disable=True`.

        Raises:
            ArgumentTypeError: tqdm has no such keyword, or it can't do with the value.
        """
        check_settings(kwargs)
        self._progress_bar_config = dict(kwargs)


def pipeline_call(
    call: Callable[_Parameters, _Output | tuple[Any, ...]],
) -> Callable[_Parameters, _Output]:
    """Make the `__call__` of a pipeline re-entrant, cancellable and free of gradients.

    Beside the parameters that it names, the call takes those of what is attached, `adapters`,
    and `cancellation`: a `Cancellation`, such as a `threading.Event`, which ends this call alone
    when it is set, before it or while it runs, from any thread.

    For type checkers the call keeps its parameters, and returns its output: with
    `return_dict=False` it is a tuple of the values, which they take for an output all the same.

    A subclass may decorate a `__call__` of its own and call `super().__call__` in it: that is
    the same run.

    Raises:
        ArgumentTypeError: an argument is unknown, given twice or missing, or not of the kind that
            the signature declares (see `autopipe.pipeline.values`).
        ArgumentError: one is a number that its parameter can't be, or text that can't be encoded.
        ClosedPipelineError: the pipeline was closed.
        CancelledError: `cancel()` was called while it ran, or `cancellation` was set.
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
            # `super().__call__` of a class that puts something around another's call.
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
            with self._pool.call(run, run.check_cancelled), torch.no_grad():
                adapters = vars(arguments).get("adapters")
                if attached or self._pool.engines or adapters is not None:
                    run._take_attached(adapters)
                return body(run, *args, **kwargs)
        finally:
            with self._calls_lock:
                self._calls.discard(run)

    return cast(Callable[_Parameters, _Output], wrapped)


def _begin(pipe: CallMixin) -> CallMixin:
    """A run of `pipe`: the same components, schedulers and call state of its own."""
    run = object.__new__(type(pipe))
    run.__dict__.update(pipe.__dict__)
    run._reset_call_state()
    run.is_run = True
    for name, component in pipe.components.items():
        if isinstance(component, SchedulerMixin):
            run.__dict__[name] = component.copy()
        elif pipe._pool.was_attached:
            # Whatever is switched at this moment: the call makes views of its own.
            run.__dict__[name] = component
    return run


def _taken(
    self: CallMixin, signature: inspect.Signature, kwargs: dict[str, Any]
) -> Mapping[str, Any]:
    """The arguments that the class doesn't name and attachments do, taken out of `kwargs`."""
    if not self._attached and not any(name in kwargs for name in _OF_ALL):
        return {}
    names = [n for n in (*_OF_ALL, *self._inputs()) if n not in signature.parameters]
    return {name: kwargs.pop(name, None) for name in names}


def _token(arguments: Arguments) -> Cancellation | None:
    """What cancels a call of these arguments."""
    token = vars(arguments).get("cancellation")
    if token is not None and (isinstance(token, type) or not isinstance(token, Cancellation)):
        raise ArgumentTypeError(
            f"cancellation= takes a threading.Event, or another object with is_set(), not "
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
    return nearest(unknown, known) or f" It takes {', '.join(known)}."
