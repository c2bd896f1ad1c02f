"""Activation functions by the name a config gives them."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from autopipe.errors import ConfigError, nearest
from autopipe.wording import shown

Activation = Callable[[Tensor], Tensor]

_ACTIVATIONS: dict[str, Activation] = {
    "silu": F.silu,
    "swish": F.silu,
    "mish": F.mish,
    "gelu": F.gelu,
    "relu": F.relu,
}


def get_activation(name: str, entry: str = "act_fn") -> Activation:
    """The function called `name`, whatever its case.

    Args:
        entry: of the config that names it.

    Raises:
        ConfigError: there is none of this name.
    """
    try:
        return _ACTIVATIONS[name.lower()]
    except KeyError:
        raise ConfigError(
            f"{entry} is {shown(name)}, which is not an activation; known are "
            f"{', '.join(sorted(_ACTIVATIONS))}.{nearest(name, _ACTIVATIONS)}"
        ) from None
