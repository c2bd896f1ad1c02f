"""What an engine is: something that runs a network in place of torch's eager mode.

An engine belongs to the pool of weights, so all pipelines that share a network share what the
engine made of it. Nothing of the network is changed: a call gets the engine's function in its
place, and where the engine can't serve, the network itself, which is said once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from torch import nn

from ..errors import PluginError
from ..modeling import is_entry_point
from ..resolution.guard import guarded
from .network_view import Standing

_Self = TypeVar("_Self", bound="NetworkEngine")


class NetworkEngine:
    """The base of all engines.

    Attributes:
        name: what it is called.
        bitwise_in_threads: whether calls in several threads give bitwise what serial ones give.
    """

    name: ClassVar[str] = ""
    bitwise_in_threads: ClassVar[bool] = True

    def __deepcopy__(self: _Self, memo: object) -> _Self:
        """The engine itself: copies of a pipeline use the same one, each for its networks."""
        return self

    def refuses(self, component: str, network: nn.Module) -> str | None:
        """Why this can't run `network`, as the end of a sentence; None if it can.

        Training, hooks and add-ons on the network are refused before this is asked.
        """
        return None

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        """What to call instead of `network.method`, `"forward"` for most networks.

        Called once for each network and method, in the first call that needs it.
        """
        raise NotImplementedError

    def release(self, network: nn.Module) -> None:
        """Give back what was made of `network`."""


def asking(engine: NetworkEngine) -> guarded:
    """Runs code of an engine; if it raises, the error tells how to go on without it."""
    name = engine.name or type(engine).__name__
    return guarded(
        lambda reason: PluginError(
            f"the engine {name} failed ({reason}); use_engine(None) goes on without it"
        )
    )


class EngineNetwork(Standing):
    """A network as a call sees it while an engine runs it: calling it calls the engine."""

    def __init__(self, network: nn.Module, run: Callable[[str], Callable[..., Any]]) -> None:
        self._origin, self._run = network, run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run("forward")(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_origin" not in self.__dict__:
            raise AttributeError(name)
        found = getattr(self._origin, name)
        return self._run(name) if is_entry_point(type(self._origin), name) else found
