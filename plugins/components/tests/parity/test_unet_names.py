"""The authors' names of modules against the reference's conversion of checkpoints."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from autopipe_components.original.unet_names import unet_module_names

diffusers = pytest.importorskip("diffusers")
files = pytest.importorskip("diffusers.loaders.single_file_utils")

pytestmark = pytest.mark.parity

SMALL: dict[str, Any] = {
    "block_out_channels": (8, 16, 16, 16),
    "norm_num_groups": 4,
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
}
XL: dict[str, Any] = {
    **SMALL,
    "block_out_channels": (8, 16, 16),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": [1, 2, 3],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 8,
}
REFINER: dict[str, Any] = {
    **XL,
    "block_out_channels": (8, 16, 16, 16),
    "down_block_types": (
        "DownBlock2D",
        "CrossAttnDownBlock2D",
        "CrossAttnDownBlock2D",
        "DownBlock2D",
    ),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": 2,
}
CONFIGS = {
    "stable diffusion": SMALL,
    "xl": XL,
    "refiner": REFINER,
    "upscaler": {**SMALL, "num_class_embeds": 10},
    "unclip": {
        **SMALL,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 8,
    },
}


def authors_keys(network: nn.Module) -> list[str]:
    """The keys of a network's state dict in a checkpoint of its authors."""
    names = unet_module_names(network.config)
    keys = []
    for key in network.state_dict():
        (found,) = ((old, new) for old, new in names.items() if f"{key}.".startswith(f"{new}."))
        keys.append(found[0] + key.removeprefix(found[1]))
    return keys


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_u_net_is_named_as_the_reference_reads_it(config: dict[str, Any]) -> None:
    network = diffusers.UNet2DConditionModel(**config)
    numbered = {
        f"model.diffusion_model.{key}": torch.tensor(i)
        for i, key in enumerate(authors_keys(network))
    }
    converted = files.convert_ldm_unet_checkpoint(numbered, dict(network.config))
    assert sorted(converted, key=lambda key: int(converted[key])) == list(network.state_dict())


@pytest.mark.parametrize("config", [SMALL, XL], ids=["stable diffusion", "xl"])
def test_a_controlnet_is_named_as_the_reference_reads_it(config: dict[str, Any]) -> None:
    given = {name: value for name, value in config.items() if name != "up_block_types"}
    network = diffusers.ControlNetModel(**given)
    numbered = {
        f"control_model.{key}": torch.tensor(i) for i, key in enumerate(authors_keys(network))
    }
    converted = files.convert_controlnet_checkpoint(numbered, dict(network.config))
    # It leaves out the embedding of sizes, which only later ControlNets have.
    numbers = {key: int(value) for key, value in converted.items()}
    keys = list(network.state_dict())
    assert all(keys[number] == key for key, number in numbers.items())
    assert {key for key in keys if not key.startswith("add_embedding")} <= numbers.keys()
