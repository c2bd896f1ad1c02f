"""Records how networks are called and compares outputs, for those who measure or check engines."""

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


def difference(found: Any, expected: Any) -> float:
    """Return the largest difference of two outputs, relative to the largest value of each tensor.

    It is infinite if their tensors don't have the same shapes.
    """
    ours, theirs = list(tensors_in(found)), list(tensors_in(expected))
    if [one.shape for one in ours] != [one.shape for one in theirs]:
        return float("inf")
    most = 0.0
    for one, other in zip(ours, theirs):
        if one.numel():
            largest = max(float(other.double().abs().max()), 1e-6)
            away = float((one.double() - other.double()).abs().max()) / largest
            most = away if away > most or away != away else most
    return most


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in the arguments or the output of a network, in their order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [one for part in value.values() for one in tensors_in(part)]
    if isinstance(value, (list, tuple)):
        return [one for part in value for one in tensors_in(part)]
    return [one for part in getattr(value, "__dict__", {}).values() for one in tensors_in(part)]
