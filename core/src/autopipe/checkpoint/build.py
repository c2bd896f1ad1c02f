"""Building a model without memory for its weights, and without drawing random numbers.

Sizes that no model has are refused while they are still numbers in a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..errors import ConfigError
from ..wording import shown

_META = torch.device("meta")

_LARGEST = 1 << 24
"""Above every size in a config: the largest vocabularies have 250,000 entries."""

_MOST_TENSORS = 8_000
"""That one model may have: more than four times those of the largest U-Net."""

_LARGEST_BUFFER = 1 << 28
"""Bytes of one tensor with values that the model computes for itself."""

_UNFILLED = frozenset({torch.empty, torch.rand, torch.randn})
_FILLED = frozenset(
    {torch.arange, torch.eye, torch.full, torch.linspace, torch.logspace, torch.ones, torch.zeros}
)
# By name, since transformers wraps the functions of torch.nn.init in its own of the same names.
_FILL = frozenset(
    {name for name in vars(torch.nn.init) if name.endswith("_") and not name.startswith("_")}
    | {"normal_", "uniform_", "zero_", "fill_", "mul_", "add_", "erfinv_", "clamp_"}
)


class WithoutMemory(TorchFunctionMode):
    """Inside this context, new tensors whose values would be overwritten are on `meta`.

    Those are the unfilled and the random ones: all that layers make their parameters of.
    Tensors with meaningful values (`arange`, `zeros`, `linspace`, ...) are real, so buffers that
    no file holds are right from the start. Filling a tensor on `meta` does nothing. Only the
    current thread is affected.

    Args:
        origin: the folder of the config, for messages.

    Raises:
        ConfigError: what is built has absurdly many tensors, or one of absurd size.
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
                    f"{self._config} asks for more than {_MOST_TENSORS:,} tensors, and no model "
                    f"has so many; correct the number of layers or blocks"
                )
            keywords["device"] = _META
        elif func in _FILLED:
            size = func(*args, **{**keywords, "device": _META}).nbytes
            if size > _LARGEST_BUFFER:
                raise ConfigError(
                    f"{self._config} asks for a buffer of {size:,} bytes, and no model has one so "
                    f"large; correct it"
                )
        elif getattr(func, "__name__", None) in _FILL:
            tensor = args[0] if args else keywords.get("tensor")
            if isinstance(tensor, torch.Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **keywords)


def check_sizes(config: Mapping[str, Any], origin: Path | str, largest: int = _LARGEST) -> None:
    """Raise `ConfigError` for a number in `config` that would take absurd memory or time.

    An infinite number is none: nothing can be made in that size, and where no size is asked for it
    is a number like others (`lambda_min_clipped` of the DPM-Solvers is -Infinity by default).

    Args:
        origin: the file that holds it, for the message.
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
                f"{origin} asks for {name} = {shown(value)}, more than any model has (at most "
                f"{largest:,}); correct it, or fetch the checkpoint again"
            )
