"""U-Nets that see more than the latents, made from one that sees these alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autopipe import UNet2DConditionModel


@torch.no_grad()
def widened(unet: UNet2DConditionModel, further: int, **changes: Any) -> UNet2DConditionModel:
    """Return a copy of `unet` with `further` input channels, which it ignores until it is trained.

    Args:
        changes: other changes of its config, for parts that begin at zero.
    """
    made = UNet2DConditionModel.from_config(
        unet.config, in_channels=unet.config.in_channels + further, **changes
    )
    known: dict[str, Tensor] = unet.float().state_dict()
    state = made.state_dict()
    for name, value in state.items():
        if name == "conv_in.weight":
            value.zero_()
            value[:, : known[name].shape[1]] = known[name]
        elif name in known:
            value.copy_(known[name])
        else:
            value.zero_()
    made.load_state_dict(state)
    return made
