"""The encoder and the decoder of an autoencoder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError, nearest
from autopipe.outputs import BaseOutput
from autopipe.wording import shown

from .checkpointing import Checkpointed
from .resnet import Downsample2D, Upsample2D
from .vae_layers import Layers

_DOWN_BLOCKS = {"DownEncoderBlock2D": False, "AttnDownEncoderBlock2D": True}
_UP_BLOCKS = {"UpDecoderBlock2D": False, "AttnUpDecoderBlock2D": True}
"""The types of blocks, and whether they have attention."""

_OLD_ATTENTION = re.compile(r"(.*\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)")
_NEW_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


@dataclass
class DecoderOutput(BaseOutput):
    """The output of a decoder.

    Attributes:
        sample: the images, (B, out_channels, H, W).
        commit_loss: the distance of the latents from the codebook; None without a codebook.
    """

    sample: Tensor
    commit_loss: Tensor | None = None


class AutoencoderBlock(nn.Module):
    """Residual blocks, the first of them followed by attention over all pixels; then resampling."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        layers: Layers,
        *,
        resnets: int,
        attentions: int,
        downsample: bool = False,
        upsample: bool = False,
    ) -> None:
        super().__init__()
        inputs = (in_channels, *(out_channels,) * (resnets - 1))
        self.attentions = nn.ModuleList(layers.attention(out_channels) for _ in range(attentions))
        self.resnets = nn.ModuleList(layers.resnet(channels, out_channels) for channels in inputs)
        self.downsamplers = nn.ModuleList(
            [Downsample2D(out_channels, padding=0)] if downsample else []
        )
        self.upsamplers = nn.ModuleList([Upsample2D(out_channels)] if upsample else [])

    def forward(self, hidden: Tensor, latents: Tensor | None = None) -> Tensor:
        for resnet, attention in zip_longest(self.resnets, self.attentions):
            hidden = resnet(hidden, latents)
            if attention is not None:
                hidden = attention(hidden, latents)
        for layer in (*self.downsamplers, *self.upsamplers):
            hidden = layer(hidden)
        return hidden


class Encoder(Checkpointed):
    """Encodes images (B, in_channels, H, W) to (B, out_channels, h, w).

    Each level but the last halves the size.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        block_types: Sequence[str],
        block_out_channels: Sequence[int],
        layers_per_block: int,
        act_fn: str,
        norm_num_groups: int,
        mid_block_add_attention: bool,
    ) -> None:
        super().__init__()
        attend = _attend("down_block_types", block_types, _DOWN_BLOCKS, block_out_channels)
        layers = Layers(norm_num_groups, act_fn)
        layers.check(block_out_channels)
        first, last = block_out_channels[0], block_out_channels[-1]
        self.conv_in = nn.Conv2d(in_channels, first, kernel_size=3, padding=1)
        self.down_blocks = nn.ModuleList(
            AutoencoderBlock(
                before,
                after,
                layers,
                resnets=layers_per_block,
                attentions=layers_per_block if attend[level] else 0,
                downsample=level < len(attend) - 1,
            )
            for level, (before, after) in enumerate(pairwise((first, *block_out_channels)))
        )
        self.mid_block = AutoencoderBlock(
            last, last, layers, resnets=2, attentions=1 if mid_block_add_attention else 0
        )
        self.conv_norm_out = layers.norm(last)
        self.conv_out = nn.Conv2d(last, out_channels, kernel_size=3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.conv_in(in_fast_layout(hidden))
        for block in (*self.down_blocks, self.mid_block):
            hidden = self.run(block, hidden)
        output: Tensor = self.conv_out(F.silu(self.conv_norm_out(hidden)))
        return output.contiguous()


class Decoder(Checkpointed):
    """Decodes latents (B, in_channels, h, w) to images.

    Each level but the last doubles the size.

    With `spatial_norm` the second argument of `forward`, latents (B, in_channels, h, w), modulates
    the normalisation of all layers.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        out_channels: int,
        block_types: Sequence[str],
        block_out_channels: Sequence[int],
        layers_per_block: int,
        act_fn: str,
        norm_num_groups: int,
        mid_block_add_attention: bool,
        spatial_norm: bool = False,
    ) -> None:
        super().__init__()
        attend = _attend("up_block_types", block_types, _UP_BLOCKS, block_out_channels)
        layers = Layers(norm_num_groups, act_fn, in_channels if spatial_norm else None)
        layers.check(block_out_channels)
        first, *_, last = channels = (block_out_channels[-1], *reversed(block_out_channels))
        self.conv_in = nn.Conv2d(in_channels, first, kernel_size=3, padding=1)
        self.mid_block = AutoencoderBlock(
            first, first, layers, resnets=2, attentions=1 if mid_block_add_attention else 0
        )
        self.up_blocks = nn.ModuleList(
            AutoencoderBlock(
                before,
                after,
                layers,
                resnets=layers_per_block + 1,
                attentions=layers_per_block + 1 if attend[level] else 0,
                upsample=level < len(attend) - 1,
            )
            for level, (before, after) in enumerate(pairwise(channels))
        )
        self.conv_norm_out = layers.norm(last)
        self.conv_out = nn.Conv2d(last, out_channels, kernel_size=3, padding=1)

    def forward(self, hidden: Tensor, latents: Tensor | None = None) -> Tensor:
        hidden = self.conv_in(in_fast_layout(hidden))
        latents = None if latents is None else in_fast_layout(latents)
        for block in (self.mid_block, *self.up_blocks):
            hidden = self.run(block, hidden, latents)
        # A plain group normalisation takes no latents.
        inputs = (hidden,) if latents is None else (hidden, latents)
        output: Tensor = self.conv_out(F.silu(self.conv_norm_out(*inputs)))
        return output.contiguous()


def in_fast_layout(batch: Tensor) -> Tensor:
    """Return (B, C, H, W) with its channels last in memory, if the CPU computes on it.

    Convolutions then read and write activations as they are, instead of copying them into a layout
    of their own and back. Layers keep the layout of their input.
    """
    on_cpu = batch.device.type == "cpu"
    return batch.contiguous(memory_format=torch.channels_last) if on_cpu else batch


def with_new_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `state` with the attention layers named and shaped as linear layers.

    Early releases named them `query`, `key`, `value` and `proj_attn`, and some files hold them as
    1x1 convolutions.
    """
    converted = {}
    for name, tensor in state.items():
        if old := _OLD_ATTENTION.fullmatch(name):
            name = f"{old[1]}.{_NEW_NAMES[old[2]]}.{old[3]}"
            if tensor.ndim == 4:
                tensor = tensor[:, :, 0, 0]
        converted[name] = tensor
    return converted


def check_channels(name: str, batch: Tensor, channels: int) -> None:
    """Raise ArgumentError unless the `batch` called `name` is (B, channels, H, W)."""
    if batch.ndim != 4 or batch.shape[1] != channels:
        raise ArgumentError(
            f"{name} have shape {tuple(batch.shape)}; this autoencoder takes {channels} channels: "
            f"(B, {channels}, H, W)"
        )


def _attend(
    key: str, types: Sequence[str], known: Mapping[str, bool], block_out_channels: Sequence[int]
) -> list[bool]:
    """Return for each of the block `types`, the config entry `key`, whether it has attention."""
    for name in types:
        if name not in known:
            raise ConfigError(
                f"{key} asks for {shown(name)}; supported are {' and '.join(known)}."
                f"{nearest(name, known)}"
            )
    if len(types) != len(block_out_channels):
        raise ConfigError(
            f"{key} has {len(types)} values, but block_out_channels names "
            f"{len(block_out_channels)} resolutions; give one for each"
        )
    return [known[name] for name in types]
