"""One call of a pipeline: what changes during it belongs to it.

`pipeline_call` decorates the `__call__` of a pipeline class. The body runs on a *run*: a view of
the same components that shares nothing that changes. Its schedulers are copies, its `_interrupt`
and guidance are its own, and it is what a step callback receives. So one pipeline serves many
threads, and a call leaves no trace in the pipeline.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch

from ..errors import ArgumentTypeError, nearest
from ..scheduling import SchedulerMixin

if TYPE_CHECKING:
    from .base import DiffusionPipeline

_Call = TypeVar("_Call", bound=Callable[..., Any])


def pipeline_call(call: _Call) -> _Call:
    """Make the `__call__` of a pipeline re-entrant, cancellable and free of gradients.

    A subclass may decorate a `__call__` of its own and call `super().__call__` in it: that is
    the same run.

    Raises (from the decorated call):
        ArgumentTypeError: an argument is unknown, given twice or missing.
        ClosedPipelineError: the pipeline was closed.
        CancelledError: `cancel()` was called while it ran.
    """
    signature = inspect.signature(call)

    @functools.wraps(call)
    def wrapped(self: DiffusionPipeline, *args: Any, **kwargs: Any) -> Any:
        _check_arguments(type(self).__name__, signature, self, args, kwargs)
        if self.__dict__.get("_is_run") and type(self).__call__ is not wrapped:
            # `super().__call__` of a class that puts something around another's call.
            return call(self, *args, **kwargs)
        self._pool.check_open(self)
        run = _begin(self)
        with self._calls_lock:
            self._calls.add(run)
        try:
            with self._pool.call(run), torch.no_grad():
                return call(run, *args, **kwargs)
        finally:
            with self._calls_lock:
                self._calls.discard(run)

    return cast(_Call, wrapped)


def _begin(pipe: DiffusionPipeline) -> DiffusionPipeline:
    """A run of `pipe`: the same components, schedulers and call state of its own."""
    run = object.__new__(type(pipe))
    run.__dict__.update(pipe.__dict__)
    run._reset_call_state()
    run.__dict__["_is_run"] = True
    for name, component in pipe.components.items():
        if isinstance(component, SchedulerMixin):
            run.__dict__[name] = component.copy()
    return run


def _check_arguments(
    name: str,
    signature: inspect.Signature,
    self: object,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    try:
        signature.bind(self, *args, **kwargs)
    except TypeError as error:
        known = [p for p in signature.parameters if p != "self"]
        hint = ""
        if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
            unknown = [k for k in kwargs if k not in known]
            if unknown:
                hint = nearest(unknown[0], known) or f" It takes {', '.join(known)}."
        raise ArgumentTypeError(f"calling {name}: {error}.{hint}") from None
