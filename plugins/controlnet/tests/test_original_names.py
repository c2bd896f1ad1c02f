"""The names of modules in ControlNet files of the authors."""

from __future__ import annotations

from autopipe import ControlNetModel
from autopipe_components.original.unet_names import unet_module_names


def test_every_parameter_has_one_name() -> None:
    network = ControlNetModel(
        block_out_channels=(8, 8),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=2,
    )
    paths = unet_module_names(network.config).values()
    for name, _ in network.named_parameters():
        assert sum(f"{name}.".startswith(f"{path}.") for path in paths) == 1
