"""The owner of the weights: what a set of views of one checkpoint have in common."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

from torch import nn

from ..errors import ClosedPipelineError

if TYPE_CHECKING:
    from .base import DiffusionPipeline


class Pool:
    """Shared by all pipelines that `from_pipe` made of each other.

    It knows the views, and gives the memory of all of them back at once.
    """

    def __init__(self) -> None:
        self.closed = False
        self._views: weakref.WeakSet[DiffusionPipeline] = weakref.WeakSet()
        self._lock = threading.Lock()

    def join(self, view: DiffusionPipeline) -> None:
        """Count `view` among the users of these weights."""
        with self._lock:
            self._views.add(view)

    def close(self) -> None:
        """Drop every component of every view, so that their memory is free."""
        with self._lock:
            self.closed = True
            views = list(self._views)
        for view in views:
            view._drop_components()
        gc.collect()
        _empty_caches()

    def check_open(self, view: object) -> None:
        """Raise `ClosedPipelineError` if the weights were given back."""
        if self.closed:
            raise ClosedPipelineError(
                f"this {type(view).__name__} was closed, or a pipeline that shares its weights "
                f"was; load the checkpoint again"
            )


_guards: weakref.WeakKeyDictionary[object, threading.RLock] = weakref.WeakKeyDictionary()
_guards_lock = threading.Lock()


def guard(component: object) -> threading.RLock:
    """The lock to hold while using a component that is not thread-safe (a tokenizer).

    It belongs to the object, since pipelines that were constructed one by one may share it too.
    """
    with _guards_lock:
        return _guards.setdefault(component, threading.RLock())


def modules_of(components: dict[str, Any]) -> dict[str, nn.Module]:
    """The networks among `components`, each once."""
    found: dict[str, nn.Module] = {}
    for name, component in components.items():
        if isinstance(component, nn.Module) and all(component is not m for m in found.values()):
            found[name] = component
    return found


def _empty_caches() -> None:
    import torch

    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
