"""Records the operations of a network's method, with its weights as inputs."""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from autopipe.attaching.engine import EngineRefusal
from autopipe.attaching.network_view import BOUND
from autopipe.wording import logger, reason, shown

from .calls import Form, taken_apart

_Traced = TypeVar("_Traced")

_SMALL = 8
"""Height and width of the images of an example; several times smaller ones would vanish."""

_TRACING = threading.Lock()
"""Tracing changes settings of the whole process."""


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a network by their first name, each once."""
    found = dict(network.named_parameters())
    return {n: t.detach() for n, t in (*found.items(), *network.named_buffers())}


class Program:
    """A method of a network as a function of tensors: first all weights, then those of a call.

    Attributes:
        weights: the weights, by name, in the order of the inputs.
        inputs: the tensors of the example.
        outputs: the tensors that the method returned for the example; after `trace` or `compute`.
        result: the form of what the method returns; after `trace`.
    """

    def __init__(self, network: nn.Module, method: str, form: Form, tensors: Sequence[Tensor]):
        self.weights = weights_of(network)
        self.inputs = [one.detach() for one in tensors]
        self.outputs: list[Tensor] = []
        self._network, self._method, self._form = network, method, form

    @property
    def input_names(self) -> list[str]:
        """The names of all inputs: those of the weights, then `input.0`, `input.1` and so on."""
        return [*self.weights, *(f"input.{i}" for i in range(len(self.inputs)))]

    def trace(self) -> torch.jit.ScriptModule:
        """Return the operations as TorchScript, and set `outputs` and `result`.

        Raises:
            EngineRefusal: if the network can't be traced.
        """

        def traced(function: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
            made: Any = torch.jit.trace
            return made(function, inputs, check_trace=False)

        made: torch.jit.ScriptModule = self.traced_by(traced)
        return made

    def traced_by(self, tracer: Callable[[nn.Module, tuple[Tensor, ...]], _Traced]) -> _Traced:
        """Return what a tracer makes of the function and its inputs; set `outputs` and `result`.

        The network computes the example once: a smaller one than that of the call if it takes it.

        Args:
            tracer: calls the function with the inputs in TorchScript's tracing mode.

        Raises:
            EngineRefusal: if the network can't be traced.
        """
        given = self.inputs
        try:
            self.inputs = smaller(given)
            try:
                return self._traced(tracer)
            except Exception:
                if all(a.shape == b.shape for a, b in zip(given, self.inputs)):
                    raise
            self.inputs = given
            return self._traced(tracer)
        except EngineRefusal:
            raise
        except Exception as error:
            raise EngineRefusal(f"its operations can't be traced ({reason(error)})") from error

    def compute(self) -> None:
        """Compute another example than that of `trace`, without tracing: one of other sizes.

        Images are twice as large, if the network takes them. Sets `inputs` and `outputs`.

        Raises:
            EngineRefusal: if what the network computes depends on the values of its inputs.
        """
        network = self._network
        called = network if self._method == "forward" else getattr(network, self._method)

        def run(tensors: Sequence[Tensor]) -> list[Tensor]:
            args, kwargs = self._form.filled(tensors)
            with torch.no_grad(), _without_forks():
                return taken_apart((called(*args, **kwargs),))[1]

        doubled = [_doubled(one) for one in self.inputs]
        try:
            self.inputs, self.outputs = doubled, run(doubled)
        except EngineRefusal:
            raise
        except Exception:
            self.outputs = run(self.inputs)

    def _traced(self, tracer: Callable[[nn.Module, tuple[Tensor, ...]], _Traced]) -> _Traced:
        flat = _Flat(self._network, self._method, self._form, list(self.weights))
        with _TRACING, torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            log = logger("torch.jit")
            level = log.level
            log.setLevel(logging.ERROR)
            try:
                made = tracer(flat, (*self.weights.values(), *self.inputs))
            finally:
                log.setLevel(level)
        assert flat.result is not None, "tracing ran it"
        self.result, self.outputs = flat.result, flat.outputs
        return made


class _WithoutForks(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context manager in which a program can't ask for the value of a tensor."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # Importing it takes a second.

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            raise EngineRefusal("what it computes depends on the values of its inputs")
        return func(*args, **(kwargs or {}))


def _without_forks() -> TorchDispatchMode:
    made: Any = _WithoutForks
    return made()  # type: ignore[no-any-return]


class _Flat(nn.Module):
    """Calls a twin of a network, whose weights are arguments; the network is not touched."""

    def __init__(self, network: nn.Module, method: str, form: Form, names: list[str]) -> None:
        super().__init__()
        self.result: Form | None = None
        self.outputs: list[Tensor] = []
        places: dict[int, list[tuple[dict[str, Any], str]]] = {}
        twin = _twin(network, places)
        tensors = weights_of(network)
        known = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        assert list(tensors) == names
        slots = [places[id(known[name])] for name in names]

        def run(given: Sequence[Tensor]) -> Any:
            for slot, weight in zip(slots, given):
                for table, key in slot:
                    table[key] = weight
            args, kwargs = form.filled(given[len(slots) :])
            called = twin if method == "forward" else getattr(twin, method)
            return called(*args, **kwargs)

        self.__dict__["_run"] = run

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        run: Callable[[Sequence[Tensor]], Any] = self.__dict__["_run"]
        self.result, made = taken_apart((run(given),))
        plain = [
            one for one in self.result.leaves if not isinstance(one, tuple) and one is not None
        ]
        if plain:
            raise EngineRefusal(
                f"it returns {shown(plain[0])}, which is not a tensor and may differ in another "
                f"call"
            )
        self.outputs = [one.detach() for one in made]
        return tuple(made)


def _twin(module: nn.Module, places: dict[int, list[tuple[dict[str, Any], str]]]) -> nn.Module:
    """Return a copy of the module objects; `places` gets the places of each tensor, by its id."""
    made: nn.Module = object.__new__(type(module))
    made.__dict__.update({k: v for k, v in module.__dict__.items() if k not in BOUND})
    for table in ("_parameters", "_buffers"):
        own = made.__dict__[table] = dict(module.__dict__[table])
        for key, tensor in own.items():
            if tensor is not None:
                places.setdefault(id(tensor), []).append((own, key))
    made.__dict__["_modules"] = {
        name: None if child is None else _twin(child, places)
        for name, child in module._modules.items()
    }
    return made


def smaller(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the tensors with images (B, C, H, W) made smaller, all by the same power of two."""
    images = [one for one in tensors if one.ndim == 4]
    sides = [side for image in images for side in image.shape[-2:]]
    most = math.gcd(*sides) if sides else 1
    factor = 1
    while most % (2 * factor) == 0 and max(sides) >= 2 * factor * _SMALL:
        factor *= 2
    return [
        one[..., : one.shape[2] // factor, : one.shape[3] // factor].contiguous()
        if one.ndim == 4
        else one
        for one in tensors
    ]


def _doubled(tensor: Tensor) -> Tensor:
    """Return images twice as large; other tensors as they are."""
    if tensor.ndim != 4:
        return tensor
    return tensor.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
