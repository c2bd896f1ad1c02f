"""The base class of engines, which run a network in place of torch's eager mode.

An engine belongs to the pool of weights, so all pipelines that share a network share what the
engine prepared for it. The network is not changed: a call uses the engine's function in its place.
If the engine can't run the network, the call uses the network itself, and a warning is logged once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from torch import nn

from ..errors import PluginError
from ..modeling import is_entry_point
from ..resolution.guard import guarded
from .network_view import StandIn

_Self = TypeVar("_Self", bound="NetworkEngine")


class NetworkEngine:
    """The base of all engines.

    Attributes:
        name: the name of the engine.
        bitwise_in_threads: whether concurrent calls give bitwise the same results as serial ones.
    """

    name: ClassVar[str] = ""
    bitwise_in_threads: ClassVar[bool] = True

    def __deepcopy__(self: _Self, memo: object) -> _Self:
        """Return the engine itself: copies of a pipeline share it."""
        return self

    def refuses(self, component: str, network: nn.Module) -> str | None:
        """Return why this engine can't run `network`, as the end of a sentence; None if it can.

        Networks in training mode, with hooks or with attachments are refused beforehand.
        """
        return None

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        """Return the function to call in place of `network.method` (mostly `"forward"`).

        Called once for each network and method, in the first call that needs it.
        """
        raise NotImplementedError

    def release(self, network: nn.Module) -> None:
        """Release what was prepared for `network`."""


def asking(engine: NetworkEngine) -> guarded:
    """Return a context manager for code of an engine, whose errors say how to do without it."""
    name = engine.name or type(engine).__name__
    return guarded(
        lambda reason: PluginError(
            f"the engine {name} failed ({reason}); call use_engine(None) to do without it"
        )
    )


class EngineNetwork(StandIn):
    """The stand-in of a network during a call: calling it calls the engine."""

    def __init__(self, network: nn.Module, run: Callable[[str], Callable[..., Any]]) -> None:
        self._origin, self._run = network, run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run("forward")(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_origin" not in self.__dict__:
            raise AttributeError(name)
        found = getattr(self._origin, name)
        return self._run(name) if is_entry_point(type(self._origin), name) else found
