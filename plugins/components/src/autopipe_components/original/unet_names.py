"""The names of the modules of U-Nets and ControlNets in the code of their authors.

"High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach et al., 2022) and its
successors number the blocks of a U-Net in the order in which a sample passes through them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_ATTENDING = {
    "DownBlock2D": False,
    "CrossAttnDownBlock2D": True,
    "UNetMidBlock2D": False,
    "UNetMidBlock2DCrossAttn": True,
    "UpBlock2D": False,
    "CrossAttnUpBlock2D": True,
}
"""Whether attention follows each residual block, by kind of block."""

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}

_HINT_CHANNELS = (16, 32, 96, 256)


def unet_module_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the path of each module, by the path that it has in checkpoints of its authors.

    Modules below these have the same names in both. A network may lack a module that a path names,
    such as a `conv_shortcut` between equal numbers of channels.

    Args:
        config: of a U-Net or a ControlNet. With blocks that the authors' code doesn't have, there
            are no names.
    """
    down, up = config["down_block_types"], config.get("up_block_types", ())
    middle = config.get("mid_block_type", "UNetMidBlock2DCrossAttn")
    if not {*down, *up, *filter(None, [middle])} <= _ATTENDING.keys():
        return {}
    layers = _per_level(config["layers_per_block"], len(down))
    return {
        "input_blocks.0.0": "conv_in",
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        **_labels(config),
        **dict(_down(down, layers)),
        **dict(_middle(middle)),
        **(dict(_up(up, layers)) if up else dict(_control(config, layers))),
    }


def _per_level(value: int | Sequence[int], levels: int) -> Sequence[int]:
    return [value] * levels if isinstance(value, int) else value


def _labels(config: Mapping[str, Any]) -> dict[str, str]:
    """What is embedded besides the time: sizes and a pooled prompt, or classes."""
    if config.get("addition_embed_type") == "text_time":
        path = "add_embedding"
    elif config.get("class_embed_type") in ("timestep", "projection"):
        path = "class_embedding"
    elif config.get("class_embed_type") is None and config.get("num_class_embeds") is not None:
        return {"label_emb": "class_embedding"}
    else:
        return {}
    return {"label_emb.0.0": f"{path}.linear_1", "label_emb.0.2": f"{path}.linear_2"}


def _resnet(original: str, path: str) -> Iterator[tuple[str, str]]:
    for part, name in _RESNET.items():
        yield f"{original}.{part}", f"{path}.{name}"


def _down(kinds: Sequence[str], layers: Sequence[int]) -> Iterator[tuple[str, str]]:
    place = 1  # 0 is the first convolution
    for level, (kind, count) in enumerate(zip(kinds, layers)):
        block = f"down_blocks.{level}"
        for i in range(count):
            yield from _resnet(f"input_blocks.{place}.0", f"{block}.resnets.{i}")
            if _ATTENDING[kind]:
                yield f"input_blocks.{place}.1", f"{block}.attentions.{i}"
            place += 1
        if level < len(kinds) - 1:
            yield f"input_blocks.{place}.0.op", f"{block}.downsamplers.0.conv"
            place += 1


def _middle(kind: str | None) -> Iterator[tuple[str, str]]:
    if kind is None:
        return
    yield from _resnet("middle_block.0", "mid_block.resnets.0")
    if _ATTENDING[kind]:
        yield "middle_block.1", "mid_block.attentions.0"
        yield from _resnet("middle_block.2", "mid_block.resnets.1")


def _up(kinds: Sequence[str], layers: Sequence[int]) -> Iterator[tuple[str, str]]:
    place = 0
    for level, (kind, below) in enumerate(zip(kinds, reversed(layers))):
        block = f"up_blocks.{level}"
        for i in range(below + 1):
            yield from _resnet(f"output_blocks.{place}.0", f"{block}.resnets.{i}")
            if _ATTENDING[kind]:
                yield f"output_blocks.{place}.1", f"{block}.attentions.{i}"
            if i == below and level < len(kinds) - 1:
                after = 1 + _ATTENDING[kind]
                yield f"output_blocks.{place}.{after}.conv", f"{block}.upsamplers.0.conv"
            place += 1
    yield "out.0", "conv_norm_out"
    yield "out.2", "conv_out"


def _control(config: Mapping[str, Any], layers: Sequence[int]) -> Iterator[tuple[str, str]]:
    """What a ControlNet has in place of the way up."""
    for i in range(sum(layers) + len(layers)):
        yield f"zero_convs.{i}.0", f"controlnet_down_blocks.{i}"
    yield "middle_block_out.0", "controlnet_mid_block"
    hint = "controlnet_cond_embedding"
    blocks = 2 * (len(config.get("conditioning_embedding_out_channels", _HINT_CHANNELS)) - 1)
    yield "input_hint_block.0", f"{hint}.conv_in"
    for i in range(blocks):
        yield f"input_hint_block.{2 * i + 2}", f"{hint}.blocks.{i}"
    yield f"input_hint_block.{2 * blocks + 2}", f"{hint}.conv_out"
