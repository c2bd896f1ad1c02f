"""Activation functions by the name a config gives them."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from autopipe.errors import ConfigError, nearest

Activation = Callable[[Tensor], Tensor]

_ACTIVATIONS: dict[str, Activation] = {
    "silu": F.silu,
    "swish": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "relu": F.relu,
}


def get_activation(name: str) -> Activation:
    """The function called `name`, whatever its case.

    Raises:
        ConfigError: there is none of this name.
    """
    try:
        return _ACTIVATIONS[name.lower()]
    except KeyError:
        raise ConfigError(
            f"there is no activation {name!r}; known are {', '.join(sorted(_ACTIVATIONS))}."
            f"{nearest(name, _ACTIVATIONS)}"
        ) from None
