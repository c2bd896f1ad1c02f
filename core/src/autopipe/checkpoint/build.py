"""Building a model without memory for its weights, and without drawing random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_META = torch.device("meta")

_UNFILLED = frozenset({torch.empty, torch.rand, torch.randn})
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
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        if func in _UNFILLED:
            keywords["device"] = _META
        elif getattr(func, "__name__", None) in _FILL:
            tensor = args[0] if args else keywords.get("tensor")
            if isinstance(tensor, torch.Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **keywords)
