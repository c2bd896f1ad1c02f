"""Provides eager mode in another layout and dtype, with fused projections, as an engine."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from autopipe.attaching.engine import EngineRefusal, NetworkEngine
from autopipe.errors import ArgumentError
from autopipe.wording import shown

from ..networks.attention import Attention
from ..networks.attention_processors import fuse

_DTYPES = ("bfloat16", "float16")


class ChannelsLast(NetworkEngine):
    """Engine that runs a copy of the network whose convolutions have their channels last.

    This is the layout of tensor cores. The projections of an attention layer to queries, keys and
    values become one, and with a `dtype` the copy computes in it, while inputs and outputs keep
    theirs. The copy takes the memory of the weights again, in that dtype.

    Args:
        dtype: `"bfloat16"` or `"float16"`; None for that of the network.
        fuse: whether to fuse projections.

    Raises:
        ArgumentError: if the dtype is another one.
    """

    name = "channels_last"

    def __init__(self, dtype: str | None = None, fuse: bool = True) -> None:
        if dtype not in (None, *_DTYPES):
            raise ArgumentError(f"dtype={shown(dtype)} is not {' or '.join(_DTYPES)}")
        self.dtype, self.fuse = dtype, fuse
        if dtype is not None:
            # Eight or eleven bits of precision, through a hundred layers.
            self.tolerance = 0.05

    def refuses(self, component: str, network: nn.Module) -> str | None:
        if any(parameter.is_meta for parameter in network.parameters()):
            return "it has no weights"
        if self.dtype is not None and hasattr(network, "compute_dtype"):
            return "its layers store their weights in another dtype than it computes in"
        is_useful = any(isinstance(one, (nn.Conv2d, Attention)) for one in network.modules())
        return None if is_useful or self.dtype else "it has neither convolutions nor our attention"

    def version(self) -> str:
        """Return the version of torch, and the options."""
        return f"{torch.__version__} {self.dtype} {self.fuse}"

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        dtype: torch.dtype | None = None if self.dtype is None else getattr(torch, self.dtype)
        made = copy.deepcopy(network).to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for layer in made.modules() if self.fuse else ():
            if isinstance(layer, Attention):
                fuse(layer)
        run = made if method == "forward" else getattr(made, method)
        floats = (p.dtype for p in network.parameters() if p.is_floating_point())
        # Layers may store their weights in another dtype than the network computes in.
        own = getattr(network, "compute_dtype", None) or next(floats, dtype)

        def back(value: Any) -> Any:
            if isinstance(value, Tensor):
                cast = value.to(own) if value.is_floating_point() else value
                return cast.contiguous()
            if hasattr(value, "__dict__") and dtype is not None:
                raise EngineRefusal(f"its {method} returns a {type(value).__name__}")
            return value

        def there(value: Any) -> Any:
            is_float = isinstance(value, Tensor) and value.dtype == own
            return value.to(dtype) if is_float and dtype is not None else value

        def prepared(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = tree_map(there, (args, kwargs))
            return tree_map(back, run(*args, **kwargs))

        return prepared
