"""An engine that records how networks are called, for those who measure or check engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .engine import NetworkEngine


@dataclass(frozen=True)
class NetworkCall:
    """A call of a network in a pipeline, with copies of the tensors that it got."""

    network: nn.Module
    method: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def by(self, function: Callable[..., Any]) -> Any:
        """Return what `function` makes of the same arguments."""
        return function(*self.args, **self.kwargs)

    def eager(self) -> Any:
        """Return what the network makes of them in eager mode."""
        return self.by(getattr(self.network, self.method))


class Recorder(NetworkEngine):
    """Runs networks in eager mode, and keeps their calls in `calls`."""

    name = "recorder"

    def __init__(self) -> None:
        self.calls: list[NetworkCall] = []

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            call = NetworkCall(network, method, _copied(args), _copied(kwargs))
            self.calls.append(call)
            return getattr(network, method)(*args, **kwargs)

        return run


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if type(value) in (list, tuple):
        return type(value)(map(_copied, value))
    if type(value) is dict:
        return {name: _copied(one) for name, one in value.items()}
    return value
