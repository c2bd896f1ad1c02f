"""Builds networks without allocating their weights and without drawing random numbers.

Absurd sizes in a config are refused before anything is built.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..errors import ConfigError, QuantizedWeightsError
from ..wording import shown
from .formats.kinds import quantization_of

_META = torch.device("meta")

_LARGEST = 1 << 24
"""The largest size in a config; the largest vocabularies have 250,000 entries."""

_MOST_TENSORS = 8_000
"""The most tensors of one network; more than four times those of the largest U-Net."""

_LARGEST_BUFFER = 1 << 28
"""The largest tensor that a network computes itself, in bytes."""

_UNFILLED = frozenset({torch.empty, torch.rand, torch.randn})
_FILLED = frozenset(
    {torch.arange, torch.eye, torch.full, torch.linspace, torch.logspace, torch.ones, torch.zeros}
)
_PARAMETERS = {
    torch.arange: ("start", "end", "step"),
    torch.eye: ("n", "m"),
    torch.linspace: ("start", "end", "steps"),
    torch.logspace: ("start", "end", "steps"),
}
"""The parameters of functions that torch computes in Python on meta, for which it imports sympy."""
# By name, because transformers wraps the functions of torch.nn.init under the same names.
_FILL = frozenset(
    {name for name in vars(torch.nn.init) if name.endswith("_") and not name.startswith("_")}
    | {"normal_", "uniform_", "zero_", "fill_", "mul_", "add_", "erfinv_", "clamp_"}
)
_SCALE = frozenset({"__mul__", "__rmul__", "__truediv__", "div", "mul", "true_divide"})
"""Functions that scale initial values, which torch computes in Python on meta, too."""


class WithoutMemory(TorchFunctionMode):
    """Context manager that creates parameters on the meta device.

    It affects uninitialised and random tensors, from which layers make their parameters. Tensors
    with meaningful values (`arange`, `zeros`, `linspace`, ...) are real, so buffers that no file
    contains are correct. Initialising a tensor on `meta` does nothing. Only the current thread is
    affected.

    Args:
        origin: the folder of the config, for messages.

    Raises:
        ConfigError: if the network has absurdly many tensors, or an absurdly large one.
    """

    _count = 0

    def __init__(self, origin: Path | None = None) -> None:
        super().__init__()
        self._config = "the config" if origin is None else f"the config in {origin}"

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        if func in _UNFILLED:
            self._count += 1
            if self._count > _MOST_TENSORS:
                raise ConfigError(
                    f"{self._config} asks for more than {_MOST_TENSORS:,} tensors, which is the "
                    f"limit; correct the number of layers or blocks"
                )
            # On meta, torch computes random tensors in Python, for which it imports sympy.
            func = torch.empty
            keywords.pop("generator", None)
            keywords["device"] = _META
        elif func in _FILLED:
            size = _bytes_of(func, args, keywords)
            if size > _LARGEST_BUFFER:
                raise ConfigError(
                    f"{self._config} asks for a buffer of {size:,.0f} bytes; the limit is "
                    f"{_LARGEST_BUFFER:,}; correct it"
                )
        elif getattr(func, "__name__", None) in _FILL:
            tensor = args[0] if args else keywords.get("tensor")
            if isinstance(tensor, torch.Tensor) and tensor.is_meta:
                return tensor
        elif getattr(func, "__name__", None) in _SCALE and len(args) == 2:
            tensor, factor = args
            floats = isinstance(tensor, torch.Tensor) and tensor.is_floating_point()
            if floats and tensor.is_meta and isinstance(factor, (int, float)):
                return tensor
        return func(*args, **keywords)


def _bytes_of(
    func: Callable[..., Any], args: tuple[Any, ...], keywords: Mapping[str, Any]
) -> float:
    """Return how many bytes the tensor has that one of `_FILLED` makes."""
    names = _PARAMETERS.get(func)
    if names is None:
        made: int = func(*args, **{**keywords, "device": _META}).nbytes
        return made
    if func is torch.arange and len(args) == 1 and "end" not in keywords:
        names = ("end",)
    given = {"start": 0, "step": 1, **dict(zip(names, args)), **keywords}
    if func is torch.arange:
        count = math.ceil((given["end"] - given["start"]) / given["step"])
    else:
        count = given["n"] * given.get("m", given["n"]) if func is torch.eye else given["steps"]
    return float(count) * (given.get("dtype") or torch.float64).itemsize


def check_not_quantized(config: Mapping[str, Any], origin: Path | str) -> None:
    """Raise `QuantizedWeightsError` if the config of a network says that its weights are quantized.

    Args:
        origin: the config file, for the message.
    """
    if method := quantization_of(config):
        raise QuantizedWeightsError.of(origin, method)


def check_sizes(config: Mapping[str, Any], origin: Path | str, largest: int = _LARGEST) -> None:
    """Check that no number in `config` is so large that it would take absurd memory or time.

    Infinity is accepted: it can't be a size, and it can be a value (`lambda_min_clipped` of the
    DPM-Solvers is -Infinity by default).

    Args:
        origin: the config file, for the message.

    Raises:
        ConfigError: if a number is too large.
    """
    pending: list[tuple[str, Any]] = [(str(name), value) for name, value in config.items()]
    while pending:
        name, value = pending.pop()
        if isinstance(value, Mapping):
            pending += [(f"{name}.{key}", one) for key, one in value.items()]
        elif isinstance(value, (list, tuple)):
            pending += [(name, one) for one in value]
        elif isinstance(value, (int, float)) and largest < abs(value) != math.inf:
            raise ConfigError(
                f"{origin} asks for {name} = {shown(value)}; the limit is {largest:,}; correct it, "
                f"or fetch the checkpoint again"
            )
