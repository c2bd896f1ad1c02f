"""The names of the modules of an autoencoder in the code of its authors.

"High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach et al., 2022). The levels of
its decoder count from the bottom, so the first one that a latent passes has the largest number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}
"""Its four projections may be 1x1 convolutions there, and are linear here."""

TOPS = ("encoder", "decoder", "quant_conv", "post_quant_conv")
"""The modules of an autoencoder; whatever else a file has is for training."""


def vae_module_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the path of each module, by the path that it has in checkpoints of its authors.

    Modules below these have the same names in both.

    Args:
        config: of an `AutoencoderKL`.
    """
    levels, layers = len(config["block_out_channels"]), config.get("layers_per_block", 1)
    return {
        "quant_conv": "quant_conv",
        "post_quant_conv": "post_quant_conv",
        **dict(_half("encoder", "down", levels, layers)),
        **dict(_half("decoder", "up", levels, layers + 1)),
    }


def _half(half: str, way: str, levels: int, layers: int) -> Iterator[tuple[str, str]]:
    for name, path in (
        ("conv_in", "conv_in"),
        ("conv_out", "conv_out"),
        ("norm_out", "conv_norm_out"),
    ):
        yield f"{half}.{name}", f"{half}.{path}"
    for level in range(levels):
        number = level if way == "down" else levels - 1 - level
        original, path = f"{half}.{way}.{number}", f"{half}.{way}_blocks.{level}"
        for i in range(layers):
            yield from _resnet(f"{original}.block.{i}", f"{path}.resnets.{i}")
        if level < levels - 1:
            yield f"{original}.{way}sample.conv", f"{path}.{way}samplers.0.conv"
    for i in (0, 1):
        yield from _resnet(f"{half}.mid.block_{i + 1}", f"{half}.mid_block.resnets.{i}")
    for name, path in _ATTENTION.items():
        yield f"{half}.mid.attn_1.{name}", f"{half}.mid_block.attentions.0.{path}"


def _resnet(original: str, path: str) -> Iterator[tuple[str, str]]:
    yield f"{original}.nin_shortcut", f"{path}.conv_shortcut"
    yield original, path


def is_projection(path: str) -> bool:
    """Whether the tensor `path` of an autoencoder is a matrix that may be a 1x1 convolution."""
    return ".attentions.0.to_" in path and path.endswith(".weight")
