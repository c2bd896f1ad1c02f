"""Activation functions by the names that configs of transformers use."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from autopipe.errors import ConfigError, nearest
from autopipe.wording import shown

from ..networks.activations import Activation, quick_gelu


def gelu_new(x: Tensor) -> Tensor:
    """An approximation of GELU by a hyperbolic tangent (Hendrycks and Gimpel, arXiv 1606.08415)."""
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))
    return 0.5 * x * (1.0 + torch.tanh(inner))


def gelu_tanh(x: Tensor) -> Tensor:
    """The same approximation as one operation of torch."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: dict[str, Activation] = {
    "gelu": F.gelu,
    "gelu_new": gelu_new,
    "gelu_pytorch_tanh": gelu_tanh,
    "mish": F.mish,
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}


def activation(name: str, entry: str = "hidden_act") -> Activation:
    """Return the activation function `name`.

    Args:
        entry: the config entry that holds the name.

    Raises:
        ConfigError: if there is no such activation function.
    """
    if name not in ACTIVATIONS:
        raise ConfigError(
            f"{entry} is {shown(name)}, which is not a known activation function; known are "
            f"{', '.join(ACTIVATIONS)}.{nearest(name, ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]
