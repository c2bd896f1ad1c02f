"""Every value that the config of a ControlNet can hold: it works, or is refused by name."""

from __future__ import annotations

from typing import Any

import torch
from support.config_values import check_network_values

from autopipe_controlnet.controlnet import ControlNetModel

BASE: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "conditioning_embedding_out_channels": (4, 8),
}
MORE: list[Any] = [2, 7, ["x", "x"], [10**9] * 2, [-1, -1], [8], [8, 8, 8], [None, None], [9, 17]]


def use(net: Any) -> None:
    config = net.config
    side = 8 * 2 ** (len(config.conditioning_embedding_out_channels) - 1)
    picture = torch.ones(1, config.conditioning_channels, side, side)
    text = torch.ones(1, 3, config.encoder_hid_dim or config.cross_attention_dim)
    has_classes = config.class_embed_type is not None or config.num_class_embeds is not None
    classes = torch.zeros(1, dtype=torch.long) if has_classes else None
    net(torch.ones(1, config.in_channels, 8, 8), 1, text, picture, class_labels=classes)


def test_values_of_a_config() -> None:
    with torch.no_grad():
        check_network_values(ControlNetModel, BASE, use, MORE)
