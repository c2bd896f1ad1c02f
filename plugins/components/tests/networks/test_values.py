"""Every value that the config of a network can hold: it works, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.config_values import check_network_values

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.networks.autoencoder_kl import AutoencoderKL
from autopipe_components.networks.prior_transformer import PriorTransformer
from autopipe_components.networks.unet import UNet2DConditionModel
from autopipe_components.networks.vq_model import VQModel

MORE: list[Any] = [2, 7, ["x", "x"], [10**9] * 2, [-1, -1], [8], [8, 8, 8], [None, None], [9, 17]]
UNET: dict[str, Any] = {
    "block_out_channels": (8, 16),
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
    "layers_per_block": 1,
    "norm_num_groups": 4,
}
AUTOENCODER: dict[str, Any] = {
    "block_out_channels": (8, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
}
PRIOR: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 4,
    "num_layers": 1,
    "embedding_dim": 8,
    "num_embeddings": 5,
}


def use_unet(net: Any) -> None:
    config = net.config
    width = config.encoder_hid_dim or config.cross_attention_dim
    width = width[0] if isinstance(width, (list, tuple)) else width
    has_classes = config.class_embed_type is not None or config.num_class_embeds is not None
    classes = torch.zeros(1, dtype=torch.long) if has_classes else None
    net(torch.ones(1, net.sample_channels, 8, 8), 1, torch.ones(1, 3, width), classes)


def use_autoencoder(net: Any) -> None:
    side = 8 * 2 ** (len(net.config.block_out_channels) - 1)
    made = net(torch.ones(1, net.config.in_channels, side, side)).sample
    assert made.div(net.config.scaling_factor).shape == made.shape


def use_prior(net: Any) -> None:
    config = net.config
    text = config.embedding_proj_dim or config.embedding_dim
    tokens = torch.ones(1, config.num_embeddings, config.embedding_dim)
    net(torch.ones(1, config.embedding_dim), 1, torch.ones(1, text), tokens)


CLASSES: dict[type, tuple[dict[str, Any], Callable[[Any], None]]] = {
    UNet2DConditionModel: (UNET, use_unet),
    AutoencoderKL: (AUTOENCODER, use_autoencoder),
    VQModel: (AUTOENCODER, use_autoencoder),
    PriorTransformer: (PRIOR, use_prior),
}


@pytest.mark.parametrize("cls", CLASSES)
def test_values_of_a_config(cls: Any) -> None:
    base, use = CLASSES[cls]
    with torch.no_grad():
        check_network_values(cls, base, use, MORE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sample": None},
        {"sample": torch.ones(1, 5, 8, 8)},
        {"sample": torch.ones(4, 8, 8)},
        {"timestep": "x"},
        {"timestep": None},
        {"timestep": [1, 2, 3]},
        {"encoder_hidden_states": torch.ones(1, 3, 9)},
        {"encoder_hidden_states": torch.ones(2, 3, 8)},
        {"encoder_hidden_states": None},
        {"class_labels": torch.zeros(1)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_inputs_of_a_unet_that_do_not_fit(wrong: dict[str, Any]) -> None:
    fit = {
        "sample": torch.ones(1, 4, 8, 8),
        "timestep": 1,
        "encoder_hidden_states": torch.ones(1, 3, 8),
    }
    with pytest.raises(ArgumentError):
        UNet2DConditionModel(**UNET)(**{**fit, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_states": torch.ones(1, 9)},
        {"hidden_states": None},
        {"proj_embedding": torch.ones(1, 7)},
        {"proj_embedding": torch.ones(8)},
        {"timestep": "x"},
        {"encoder_hidden_states": torch.ones(1, 4, 8)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_inputs_of_a_prior_that_do_not_fit(wrong: dict[str, Any]) -> None:
    fit = {
        "hidden_states": torch.ones(1, 8),
        "timestep": 1,
        "proj_embedding": torch.ones(1, 8),
        "encoder_hidden_states": torch.ones(1, 5, 8),
    }
    with pytest.raises(ArgumentError):
        PriorTransformer(**PRIOR)(**{**fit, **wrong})


def test_an_entry_that_is_set_later_is_read_and_checked() -> None:
    """As programs do that put a wider first layer into a U-Net."""
    net = UNet2DConditionModel(**UNET)
    net.conv_in = torch.nn.Conv2d(9, 8, 3, padding=1)
    net.config["in_channels"] = 9
    net(torch.ones(1, 9, 8, 8), 1, torch.ones(1, 3, 8))
    with pytest.raises(ConfigError, match="UNet2DConditionModel can't have in_channels = 0"):
        net.config.in_channels = 0
    net.register_to_config(in_channels=4)
    with pytest.raises(ArgumentError, match="4 channels"):
        net(torch.ones(1, 9, 8, 8), 1, torch.ones(1, 3, 8))
