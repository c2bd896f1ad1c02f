"""Derives the specification of each block of a U-Net from its config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from autopipe.errors import ConfigError
from autopipe.wording import shown

from .added_kv_attention import AddedKVOptions
from .k_blocks import GROUP, has_k_blocks
from .resnet import ResnetOptions, check_groups
from .transformer import TransformerOptions
from .unet_blocks import PIXEL_BLOCKS, BlockSpec

_T = TypeVar("_T")

# Config entries of which only this value is supported.
_ONLY_SUPPORTED: dict[str, Any] = {
    "num_attention_heads": None,
    "dual_cross_attention": False,
    "attention_type": "default",
}
# Config entries that only pixel-space blocks use, at the values required with other blocks.
_ONLY_AMONG_PIXELS: dict[str, Any] = {
    "cross_attention_norm": None,
    "resnet_skip_time_act": False,
    "resnet_out_scale_factor": 1.0,
}


@dataclass(frozen=True)
class UNetLayout:
    """The blocks of a U-Net, in the order in which a sample passes through them."""

    down: tuple[BlockSpec, ...]
    mid: BlockSpec
    up: tuple[BlockSpec, ...]


def refuse_unsupported(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for values that no block supports."""
    for name, value in _ONLY_SUPPORTED.items():
        if config[name] != value:
            raise ConfigError(f"{name} is {shown(config[name])}; only {shown(value)} is supported")
    if config["class_embeddings_concat"] and config["addition_embed_type"] is not None:
        raise ConfigError(
            f"class_embeddings_concat can't be combined with an addition, but "
            f"addition_embed_type is {shown(config['addition_embed_type'])}"
        )
    classes = config["class_embed_type"] is not None or config["num_class_embeds"] is not None
    if config["class_embeddings_concat"] and not classes:
        raise ConfigError(
            "class_embeddings_concat is set, but class_embed_type and num_class_embeds are None; "
            "set one of them, or turn it off"
        )
    others = [name for name in _types(config) if name not in PIXEL_BLOCKS]
    for name, value in _ONLY_AMONG_PIXELS.items():
        if others and config[name] != value:
            raise ConfigError(
                f"{name} is {shown(config[name])}; only {shown(value)} is supported by {others[0]}"
            )


def refuse_pixel_blocks(config: Mapping[str, Any]) -> None:
    """Raise ConfigError for pixel-space blocks, which ControlNets don't have."""
    for name in _types(config):
        if name in PIXEL_BLOCKS:
            raise ConfigError(
                f"{name} is a block of pixel-space U-Nets, which a ControlNet can't have"
            )


def _types(config: Mapping[str, Any]) -> list[str]:
    mid = config["mid_block_type"]
    between = [] if mid is None else [mid]
    return [*config["down_block_types"], *between, *config["up_block_types"]]


def lay_out(config: Mapping[str, Any], *, time_channels: int) -> UNetLayout:
    """Return the specification of each block of the U-Net that `config` describes.

    `config` has the keys of `UNet2DConditionModel`; `time_channels` is the width of the time
    embedding that blocks receive.

    Raises:
        ConfigError: if a list doesn't have one value per resolution, or a value contradicts another
            one.
    """
    channels: tuple[int, ...] = tuple(config["block_out_channels"])
    levels = len(channels)
    for name in ("down_block_types", "up_block_types"):
        _expect_one_per_level(name, config[name], levels)
    if has_k_blocks(config):
        groups = config["norm_num_groups"] or GROUP
    else:
        groups = check_groups(config["norm_num_groups"], channels)

    layers = per_level("layers_per_block", config["layers_per_block"], levels)
    # For transformers the number of heads, for other blocks the width of a head.
    heads = per_level("attention_head_dim", config["attention_head_dim"], levels)
    context = per_level("cross_attention_dim", config["cross_attention_dim"], levels)
    only_cross = per_level("only_cross_attention", config["only_cross_attention"], levels)
    resnet = ResnetOptions(
        time_channels=time_channels,
        eps=config["norm_eps"],
        groups=groups,
        act_fn=config["act_fn"],
        dropout=config["dropout"],
        time_scale_shift=config["resnet_time_scale_shift"],
        output_scale_factor=config["resnet_out_scale_factor"],
    )
    down_depths, mid_depth, up_depths = _depths(config, layers)

    def transformer(level: int, depths: tuple[int, ...], *, cross_only: bool) -> TransformerOptions:
        return TransformerOptions(
            depths=depths,
            heads=heads[level],
            context_dim=context[level],
            groups=groups,
            linear_projection=config["use_linear_projection"],
            only_cross_attention=cross_only,
            upcast_attention=bool(config["upcast_attention"]),
        )

    def added_kv(level: int, *, head_dim: int, cross_only: bool) -> AddedKVOptions:
        return AddedKVOptions(
            head_dim=head_dim,
            context_dim=context[level],
            groups=groups,
            only_cross_attention=cross_only,
            prompt_norm=config["cross_attention_norm"],
        )

    down = tuple(
        BlockSpec(
            in_channels=channels[max(i - 1, 0)],
            out_channels=channels[i],
            num_layers=layers[i],
            resample=i < levels - 1,
            is_lowest=i == levels - 1,
            downsample_padding=config["downsample_padding"],
            resnet=resnet,
            transformer=transformer(i, down_depths[i], cross_only=only_cross[i]),
            added_kv=added_kv(i, head_dim=heads[i], cross_only=only_cross[i]),
        )
        for i in range(levels)
    )
    mid = BlockSpec(
        in_channels=channels[-1],
        out_channels=channels[-1],
        resnet=replace(resnet, output_scale_factor=config["mid_block_scale_factor"]),
        transformer=transformer(-1, mid_depth, cross_only=False),
        added_kv=added_kv(-1, head_dim=heads[-1], cross_only=_mid_cross_only(config)),
    )
    # An up block mirrors the down block of its level: it takes one skip connection for each
    # residual block there, and one for the input of that level.
    up = tuple(
        BlockSpec(
            in_channels=channels[min(i + 1, levels - 1)],
            out_channels=channels[i],
            skip_channels=(channels[i],) * layers[i] + (channels[max(i - 1, 0)],),
            num_layers=layers[i],
            resample=i > 0,
            is_lowest=i == levels - 1,
            resnet=resnet,
            transformer=transformer(i, up_depths[i], cross_only=only_cross[i]),
            # Widths of heads are not mirrored in up blocks: networks were trained this way.
            added_kv=added_kv(i, head_dim=heads[-1 - i], cross_only=only_cross[i]),
        )
        for i in reversed(range(levels))
    )
    return UNetLayout(down=down, mid=mid, up=up)


def _mid_cross_only(config: Mapping[str, Any]) -> bool:
    """Return `mid_block_only_cross_attention` or, if None, a single `only_cross_attention`."""
    own, of_others = config["mid_block_only_cross_attention"], config["only_cross_attention"]
    return bool(of_others if own is None and isinstance(of_others, bool) else own)


def per_level(name: str, value: _T | Sequence[_T], levels: int) -> tuple[_T, ...]:
    """Return one value for each of `levels` resolutions; a single `value` is repeated.

    Raises:
        ConfigError: if `value` is a list of another length.
    """
    if not isinstance(value, (list, tuple)):
        return (value,) * levels  # type: ignore[return-value]
    _expect_one_per_level(name, value, levels)
    return tuple(value)


def _expect_one_per_level(name: str, value: Sequence[Any], levels: int) -> None:
    if len(value) != levels:
        raise ConfigError(
            f"{name} has {len(value)} values {shown(value)}, but block_out_channels names "
            f"{levels} resolutions; give one value for each"
        )


def _depths(
    config: Mapping[str, Any], layers: Sequence[int]
) -> tuple[list[tuple[int, ...]], tuple[int, ...], list[tuple[int, ...]]]:
    """Return the number of transformer layers per residual block: down, mid and up blocks."""
    levels = len(layers)
    name = "transformer_layers_per_block"
    depths = per_level(name, config[name], levels)
    reverse_name = "reverse_transformer_layers_per_block"
    reverse = config[reverse_name]
    if reverse is None:
        if any(isinstance(depth, (list, tuple)) for depth in depths):
            raise ConfigError(f"{name} is nested, {depths}; then {reverse_name} is required too")
        up_depths = depths
    else:
        up_depths = tuple(reversed(per_level(reverse_name, reverse, levels)))
    down = [per_level(name, depth, count) for depth, count in zip(depths, layers)]
    up = [per_level(reverse_name, depth, count + 1) for depth, count in zip(up_depths, layers)]
    last = depths[-1]
    return down, (last[0] if isinstance(last, (list, tuple)) else last,), up
