"""Activation functions by the names that configs use."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from autopipe.errors import ConfigError, nearest
from autopipe.wording import shown

Activation = Callable[[Tensor], Tensor]


def quick_gelu(x: Tensor) -> Tensor:
    """An approximation of GELU by a sigmoid (Hendrycks and Gimpel, arXiv 1606.08415)."""
    return x * torch.sigmoid(1.702 * x)


_ACTIVATIONS: dict[str, Activation] = {
    "silu": F.silu,
    "swish": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "relu": F.relu,
}


def get_activation(name: str, entry: str = "act_fn") -> Activation:
    """Return the activation function `name`, regardless of case.

    Args:
        entry: the config entry that holds the name.

    Raises:
        ConfigError: if there is no such activation function.
    """
    try:
        return _ACTIVATIONS[name.lower()]
    except KeyError:
        raise ConfigError(
            f"{entry} is {shown(name)}, which is not a known activation function; known are "
            f"{', '.join(sorted(_ACTIVATIONS))}.{nearest(name, _ACTIVATIONS)}"
        ) from None
