"""Building a model without memory for its weights, and without drawing random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..errors import ConfigError

_META = torch.device("meta")

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

    Raises:
        ConfigError: what is built has absurdly many tensors, or one of absurd size.
    """

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

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
                    f"the config asks for more than {_MOST_TENSORS:,} tensors, and no model has so "
                    f"many; correct the number of layers or blocks"
                )
            keywords["device"] = _META
        elif func in _FILLED:
            size = func(*args, **{**keywords, "device": _META}).nbytes
            if size > _LARGEST_BUFFER:
                raise ConfigError(
                    f"the config asks for a buffer of {size:,} bytes, and no model has one so "
                    f"large; correct it"
                )
        elif getattr(func, "__name__", None) in _FILL:
            tensor = args[0] if args else keywords.get("tensor")
            if isinstance(tensor, torch.Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **keywords)
