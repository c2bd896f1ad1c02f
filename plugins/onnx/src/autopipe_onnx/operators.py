"""Operators of ONNX Runtime that are faster than what the ONNX standard has in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_DOMAIN = "com.microsoft"


class OfRuntime(TorchFunctionMode):
    """Context manager under which the exporter writes operators of ONNX Runtime.

    Attention without a mask becomes one operator, which doesn't hold the scores of all pixels.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = dict(kwargs or {})
        if func is F.scaled_dot_product_attention and _is_plain(args, options):
            query, key, value = (one.transpose(1, 2).flatten(2) for one in args)
            heads = int(args[0].shape[1])
            attended: Tensor = _attention(query, key, value, heads, options.get("scale"))
            return torch.unflatten(attended, -1, (heads, -1)).transpose(1, 2)
        return func(*args, **options)


def _is_plain(args: tuple[Any, ...], options: Mapping[str, Any]) -> bool:
    """Whether attention has nothing but query, key and value (B, heads, N, d), and a scale."""
    given = {
        name
        for name, value in options.items()
        if isinstance(value, Tensor) or value not in (None, 0.0, False)
    }
    return len(args) == 3 and given <= {"scale"} and all(one.ndim == 4 for one in args)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, heads: int, scale: float | None
    ) -> Tensor:
        query, key, value = (
            torch.unflatten(one, -1, (heads, -1)).transpose(1, 2) for one in (query, key, value)
        )
        attended = F.scaled_dot_product_attention(query, key, value, scale=scale)
        return attended.transpose(1, 2).flatten(2)

    @staticmethod
    def symbolic(
        graph: Any, query: Any, key: Any, value: Any, heads: int, scale: float | None
    ) -> Any:
        options = {"num_heads_i": heads, **({} if scale is None else {"scale_f": scale})}
        made = graph.op(f"{_DOMAIN}::MultiHeadAttention", query, key, value, **options)
        return made.setType(query.type().with_sizes([None] * 3))


_attention: Callable[..., Tensor] = _Attention.apply
