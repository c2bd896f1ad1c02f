from __future__ import annotations

from typing import Any

import pytest

from autopipe.errors import ConfigError
from autopipe_components.networks.unet import UNet2DConditionModel
from autopipe_components.networks.unet_layout import UNetLayout, lay_out

DEFAULTS = {
    name: parameter.default for name, parameter in UNet2DConditionModel.init_parameters().items()
}
THREE = {
    "block_out_channels": (32, 64, 96),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3,
    "up_block_types": ("CrossAttnUpBlock2D",) * 3,
}


def of(**changes: Any) -> UNetLayout:
    return lay_out({**DEFAULTS, **THREE, **changes}, time_channels=128)


def test_channels_go_down_and_come_back_with_the_skips() -> None:
    layout = of()
    assert [(s.in_channels, s.out_channels) for s in layout.down] == [(32, 32), (32, 64), (64, 96)]
    assert (layout.mid.in_channels, layout.mid.out_channels) == (96, 96)
    assert [(s.in_channels, s.out_channels) for s in layout.up] == [(96, 96), (96, 64), (64, 32)]
    # What the way up takes is what the way down made, the first convolution's output included.
    made = [32] + [c for s in layout.down for c in [s.out_channels] * (s.num_layers + s.resample)]
    assert [c for s in layout.up for c in s.skip_channels] == made[::-1]


def test_only_the_lowest_resolution_does_not_change_size() -> None:
    layout = of()
    assert [spec.resample for spec in layout.down] == [True, True, False]
    assert [spec.resample for spec in layout.up] == [True, True, False]


def test_values_per_resolution_are_mirrored_on_the_way_up() -> None:
    layout = of(
        attention_head_dim=(2, 4, 8),
        cross_attention_dim=(10, 20, 30),
        only_cross_attention=(True, False, False),
        layers_per_block=(1, 2, 3),
        transformer_layers_per_block=(5, 6, 7),
    )
    parts = [spec.transformer for spec in (*layout.down, layout.mid, *layout.up)]
    assert [part.heads for part in parts] == [2, 4, 8, 8, 8, 4, 2]
    assert [part.context_dim for part in parts] == [10, 20, 30, 30, 30, 20, 10]
    assert [part.only_cross_attention for part in parts] == [True, *[False] * 5, True]
    assert [part.depths for part in parts] == [
        (5,),
        (6, 6),
        (7, 7, 7),
        (7,),
        (7, 7, 7, 7),
        (6, 6, 6),
        (5, 5),
    ]


def test_blocks_among_pixels_have_widths_of_heads_in_the_order_of_blocks() -> None:
    layout = of(attention_head_dim=(2, 4, 8), resnet_out_scale_factor=1.5)
    parts = [spec.added_kv for spec in (*layout.down, layout.mid, *layout.up)]
    assert [part.head_dim for part in parts] == [2, 4, 8, 8, 2, 4, 8]
    factors = [spec.resnet.output_scale_factor for spec in (layout.down[0], layout.mid)]
    assert factors == [1.5, 1]


@pytest.mark.parametrize(
    ("of_all", "own", "found"),
    [
        (True, None, True),
        (True, False, False),
        (False, True, True),
        ((True, True, True), None, False),
    ],
)
def test_what_the_mid_block_looks_at(of_all: Any, own: bool | None, found: bool) -> None:
    mid = of(only_cross_attention=of_all, mid_block_only_cross_attention=own).mid
    assert mid.added_kv.only_cross_attention is found
    assert mid.transformer.only_cross_attention is False


def test_nested_depths_need_those_of_the_way_up() -> None:
    nested = ((1, 2), (3, 4), (5, 6))
    with pytest.raises(ConfigError, match="reverse_transformer_layers_per_block is required"):
        of(transformer_layers_per_block=nested)
    layout = of(
        transformer_layers_per_block=nested,
        reverse_transformer_layers_per_block=((6, 5, 4), (3, 2, 1), (1, 1, 1)),
    )
    assert [spec.transformer.depths for spec in layout.up] == [(6, 5, 4), (3, 2, 1), (1, 1, 1)]
    assert layout.mid.transformer.depths == (5,)


@pytest.mark.parametrize(
    "name",
    [
        "down_block_types",
        "up_block_types",
        "attention_head_dim",
        "cross_attention_dim",
        "only_cross_attention",
        "layers_per_block",
        "transformer_layers_per_block",
    ],
)
def test_too_few_values_are_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} has 2 values.*3 resolutions"):
        of(**{name: ("DownBlock2D",) * 2 if "types" in name else (4, 4)})


def test_a_number_of_groups_is_needed() -> None:
    with pytest.raises(ConfigError, match="norm_num_groups"):
        of(norm_num_groups=None)
