"""The attention layers of U-Nets, in the order in which IP-Adapters number them."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from autopipe.errors import ArgumentError
from autopipe_components.networks.attention import Attention, MultiHeadAttention

from .adapter_file import AdapterWeights

_BASES = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}
"""The base models whose prompts have these widths, for messages."""


class Layers(NamedTuple):
    """The paths of attention layers, in the order down, up, middle.

    Attributes:
        every: all of them.
        cross: those that attend to the prompt.
    """

    every: list[str]
    cross: list[str]


def layers_of(unet: nn.Module) -> Layers:
    """Return the paths of the attention layers of a U-Net."""
    layers = {n: one for n, one in unet.named_modules() if isinstance(one, MultiHeadAttention)}
    return Layers(list(layers), [path for path in layers if not path.endswith(".attn1")])


def check_fits(adapter: AdapterWeights, unet: nn.Module) -> None:
    """Check that an adapter was trained for a U-Net like this one.

    Raises:
        ArgumentError: if the number of attention layers to the prompt, or a shape, is another one.
    """
    paths = layers_of(unet).cross
    layers = [unet.get_submodule(path) for path in paths]
    own = adapter.image_proj.width
    takes = {one.context_dim for one in layers if isinstance(one, MultiHeadAttention)}
    if len(layers) != len(adapter.image_keys) or takes != {own}:
        widths = ", ".join(_base(one) for one in sorted(filter(None, takes))) or "nothing"
        raise ArgumentError(
            f"{adapter.origin} is for another base model: it has keys for "
            f"{len(adapter.image_keys)} attention layers that read prompts of the width "
            f"{_base(own)}; the U-Net of this pipeline has {len(layers)}, which read {widths}"
        )
    for path, layer, keys in zip(paths, layers, adapter.image_keys):
        if not isinstance(layer, Attention):
            raise ArgumentError(
                f"an IP-Adapter changes attention layers that read the prompt alone; the layer "
                f"{path} of this U-Net is a {type(layer).__name__}"
            )
        ours, theirs = keys.to_k_ip.weight.shape, layer.to_k.weight.shape
        if ours != theirs:
            raise ArgumentError(
                f"{adapter.origin} is for another base model: its keys for the attention layer "
                f"{path} have the shape {tuple(ours)}, but this U-Net needs {tuple(theirs)}"
            )


def _base(width: int) -> str:
    """Return the width, with the base model that has it."""
    return f"{width} ({_BASES[width]})" if width in _BASES else str(width)
