"""The names of modules in checkpoints of the authors, for what is published with them."""

from __future__ import annotations

from typing import Any

import pytest

from autopipe import UNet2DConditionModel
from autopipe_components.original.unet_names import unet_module_names

V1: dict[str, Any] = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
}
XL: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "addition_embed_type": "text_time",
}


# As the files of Stable Diffusion 1.5 and SDXL name them.
@pytest.mark.parametrize(
    ("config", "original", "path"),
    [
        (V1, "input_blocks.3.0.op", "down_blocks.0.downsamplers.0.conv"),
        (V1, "input_blocks.11.0.in_layers.2", "down_blocks.3.resnets.1.conv1"),
        (V1, "middle_block.1", "mid_block.attentions.0"),
        (V1, "middle_block.2.out_layers.3", "mid_block.resnets.1.conv2"),
        (V1, "output_blocks.2.1.conv", "up_blocks.0.upsamplers.0.conv"),
        (V1, "output_blocks.5.2.conv", "up_blocks.1.upsamplers.0.conv"),
        (V1, "output_blocks.11.1", "up_blocks.3.attentions.2"),
        (XL, "input_blocks.4.1", "down_blocks.1.attentions.0"),
        (XL, "output_blocks.2.2.conv", "up_blocks.0.upsamplers.0.conv"),
        (XL, "output_blocks.8.0.skip_connection", "up_blocks.2.resnets.2.conv_shortcut"),
        (XL, "label_emb.0.2", "add_embedding.linear_2"),
    ],
)
def test_published_names(config: dict[str, Any], original: str, path: str) -> None:
    assert unet_module_names(config)[original] == path


def test_numbers_of_layers_may_differ_by_level() -> None:
    names = unet_module_names({**XL, "layers_per_block": [1, 2, 3]})
    assert names["input_blocks.5.0.op"] == "down_blocks.1.downsamplers.0.conv"
    assert names["input_blocks.8.1"] == "down_blocks.2.attentions.2"
    assert names["output_blocks.3.2.conv"] == "up_blocks.0.upsamplers.0.conv"
    assert names["output_blocks.8.0.in_layers.0"] == "up_blocks.2.resnets.1.norm1"


def test_blocks_that_the_authors_do_not_have_get_no_names() -> None:
    assert unet_module_names({**XL, "down_block_types": ("SimpleCrossAttnDownBlock2D",)}) == {}


def test_every_parameter_has_one_name() -> None:
    network = UNet2DConditionModel(
        block_out_channels=(8, 8),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=2,
    )
    paths = unet_module_names(network.config).values()
    for name, _ in network.named_parameters():
        assert sum(f"{name}.".startswith(f"{path}.") for path in paths) == 1
