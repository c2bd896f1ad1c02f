"""Blocks of a U-Net whose norms are modulated by the time embedding, as in k-diffusion.

Every norm is a group norm without weights of its own, which the time embedding scales and shifts.
Attention is to the prompt, at the lowest resolution also among pixels, and no perceptron follows
it. Resolutions change by a fixed filter. Of the skip connections that a down block makes, the up
block of its resolution takes the last one.

"Elucidating the Design Space of Diffusion-Based Generative Models" (Karras et al., 2022), in the
implementation of Katherine Crowson that the latent upscaler of Stable Diffusion comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError

from .activations import get_activation
from .attention import Attention, to_pixels, to_tokens
from .checkpointing import Checkpointed
from .conditioning import Conditioning

if TYPE_CHECKING:
    from .unet_blocks import BlockSpec

GROUP = 32
"""The number of channels in a group of a norm."""

_FILTER = (1 / 8, 3 / 8, 3 / 8, 1 / 8)

K_DOWN_BLOCKS = {"KDownBlock2D": False, "KCrossAttnDownBlock2D": True}
K_UP_BLOCKS = {"KUpBlock2D": False, "KCrossAttnUpBlock2D": True}
"""The names of the blocks, and whether they have attention."""


def has_k_blocks(config: Mapping[str, Any]) -> bool:
    """Whether the blocks of a U-Net are those of this module.

    Raises:
        ConfigError: if only some of them are, there is a mid block, or the channels can't be
            divided into groups.
    """
    names = [*config["down_block_types"], *config["up_block_types"]]
    known = [name for name in names if name in K_DOWN_BLOCKS or name in K_UP_BLOCKS]
    if not known:
        return False
    others = [name for name in (*names, config["mid_block_type"]) if name not in (*known, None)]
    if others:
        raise ConfigError(
            f"{known[0]} can't be combined with {others[0]}: its time embedding is not activated; "
            f"use blocks of its kind everywhere, and mid_block_type None"
        )
    for channels in config["block_out_channels"]:
        if channels % GROUP:
            raise ConfigError(
                f"block_out_channels has {channels}, and {known[0]} needs multiples of {GROUP}, "
                f"which is the size of its groups"
            )
    return True


class ModulatedGroupNorm(nn.Module):
    """A group norm of (B, channels, H, W), scaled and shifted by the time embedding (B, D)."""

    def __init__(self, time_channels: int, channels: int, groups: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.linear = nn.Linear(time_channels, 2 * channels)

    def forward(self, hidden: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.linear(time)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, F.group_norm(hidden, self.groups, eps=self.eps), 1 + scale)


class ModulatedResnet(nn.Module):
    """Two convolutions and a shortcut: (B, in_channels, H, W) -> (B, out_channels, H, W).

    Args:
        spec: the block that it is a part of.
        inner: channels between the convolutions; by default `out_channels`.
        groups: of the second norm; by default one for every 32 channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        spec: BlockSpec,
        *,
        inner: int | None = None,
        groups: int | None = None,
    ) -> None:
        super().__init__()
        inner, options = inner or out_channels, spec.resnet
        assert options.time_channels is not None, "U-Nets have a time embedding"
        time, eps = options.time_channels, options.eps
        self.act = get_activation(options.act_fn)
        self.norm1 = ModulatedGroupNorm(time, in_channels, in_channels // GROUP, eps)
        self.conv1 = nn.Conv2d(in_channels, inner, kernel_size=3, padding=1)
        self.norm2 = ModulatedGroupNorm(time, inner, groups or inner // GROUP, eps)
        self.dropout = nn.Dropout(options.dropout)
        self.conv2 = nn.Conv2d(inner, out_channels, kernel_size=3, padding=1)
        self.conv_shortcut = (
            None
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        )

    def forward(self, hidden: Tensor, time: Tensor) -> Tensor:
        shortcut = hidden if self.conv_shortcut is None else self.conv_shortcut(hidden)
        hidden = self.conv1(self.act(self.norm1(hidden, time)))
        hidden = self.conv2(self.dropout(self.act(self.norm2(hidden, time))))
        return shortcut + hidden


class ModulatedAttention(nn.Module):
    """Attention among pixels, if `among_pixels`, then to the prompt, each added to the input."""

    def __init__(self, channels: int, spec: BlockSpec, *, among_pixels: bool) -> None:
        super().__init__()
        assert spec.added_kv is not None, "U-Nets with a prompt have these options"
        head_dim, context_dim = spec.added_kv.head_dim, spec.added_kv.context_dim
        time = spec.resnet.time_channels
        assert time is not None, "U-Nets have a time embedding"
        if channels % head_dim:
            raise ConfigError(
                f"attention_head_dim is {head_dim}, which doesn't divide the {channels} channels "
                "of a block; in blocks of this kind it is the width of a head"
            )

        def norm() -> ModulatedGroupNorm:
            return ModulatedGroupNorm(time, channels, max(channels // GROUP, 1))

        def attention(width: int | None) -> Attention:
            return Attention(
                channels,
                heads=channels // head_dim,
                head_dim=head_dim,
                context_dim=width,
                bias=True,
                norms_context=width is not None,
            )

        self.norm1 = norm() if among_pixels else None
        self.attn1 = attention(None) if among_pixels else None
        self.norm2 = norm()
        self.attn2 = attention(context_dim)

    def forward(self, hidden: Tensor, cond: Conditioning) -> Tensor:
        size, options = hidden.shape[-2:], cond.attention_kwargs
        if self.norm1 is not None and self.attn1 is not None:
            tokens = to_tokens(self.norm1(hidden, cond.time))
            hidden = hidden + to_pixels(self.attn1(tokens, None, cond.self_bias, **options), size)
        tokens = to_tokens(self.norm2(hidden, cond.time))
        attended = self.attn2(tokens, cond.context, cond.context_bias, **options)
        return hidden + to_pixels(attended, size)


class KDownBlock(Checkpointed):
    """Residual blocks, each followed by attention if it `attends`, then the filter."""

    def __init__(self, spec: BlockSpec, *, attends: bool) -> None:
        super().__init__()
        channels, inputs = spec.out_channels, [spec.in_channels]
        inputs += [channels] * (spec.num_layers - 1)
        self.resnets = nn.ModuleList(ModulatedResnet(n, channels, spec) for n in inputs)
        self.attentions = nn.ModuleList(
            ModulatedAttention(channels, spec, among_pixels=not spec.resample)
            for _ in range(spec.num_layers if attends else 0)
        )
        self.resample = spec.resample

    def forward(
        self,
        hidden: Tensor,
        cond: Conditioning,
        residual: Tensor | None = None,
        count: int | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the output, and the skip connections in the order of the layers.

        Args:
            residual: must be None: there are no adapters for these blocks.
            count: the number of skip connections to compute; later layers don't run. None means
                all.

        Raises:
            ArgumentError: if there is a residual, or height or width can't be halved.
        """
        if residual is not None:
            raise ArgumentError(
                "a T2I-Adapter can't be used with a U-Net of K blocks; leave it out"
            )
        skips: list[Tensor] = []
        for i, resnet in enumerate(self.resnets):
            if i == count:
                return hidden, skips
            hidden = self.run(resnet, hidden, cond.time)
            if self.attentions:
                hidden = self.attentions[i](hidden, cond)
            skips.append(hidden)
        if self.resample and len(skips) != count:
            hidden = halved(hidden)
        return hidden, skips


class KUpBlock(Checkpointed):
    """Residual blocks, the first of which takes a skip connection, with attention if it `attends`.

    With attention, the block at the lowest resolution takes none and attends among pixels too.
    """

    def __init__(self, spec: BlockSpec, *, attends: bool) -> None:
        super().__init__()
        # The last layer has the channels of the next block, which those of the input tell.
        channels, made, layers = spec.out_channels, spec.skip_channels[-1], spec.num_layers
        self.takes_skip = not (spec.is_lowest and attends)
        first = channels * (2 if self.takes_skip else 1)
        self.resnets, self.attentions = nn.ModuleList(), nn.ModuleList()
        for i in range(layers):
            ends = made if i == layers - 1 else channels
            # Blocks without attention narrow in the first convolution, others in the second.
            inner, groups = (channels, None) if attends else (ends, channels // GROUP)
            block = ModulatedResnet(
                channels if i else first, ends, spec, inner=inner, groups=groups
            )
            self.resnets.append(block)
            if attends:
                self.attentions.append(
                    ModulatedAttention(ends, spec, among_pixels=not self.takes_skip)
                )
        self.resample = spec.resample

    def forward(
        self,
        hidden: Tensor,
        skips: Sequence[Tensor],
        cond: Conditioning,
        size: torch.Size | None,
        first: int = 0,
    ) -> Tensor:
        """Return the output, twice as large if the block changes the resolution.

        Args:
            skips: one for each layer to run, of which the last is used.
            size: ignored.
            first: the index of the first layer to run.
        """
        for i in range(first, first + len(skips)):
            if i == 0 and self.takes_skip:
                hidden = torch.cat((hidden, skips[-1]), dim=1)
            hidden = self.run(self.resnets[i], hidden, cond.time)
            if self.attentions:
                hidden = self.attentions[i](hidden, cond)
        ends = first + len(skips) == len(self.resnets)
        return doubled(hidden) if ends and self.resample else hidden


def halved(pixels: Tensor) -> Tensor:
    """Halve height and width of (B, C, H, W) by the filter, with reflected edges.

    Raises:
        ArgumentError: if height or width is odd, or below 4.
    """
    if any(side % 2 or side < 4 for side in pixels.shape[-2:]):
        raise ArgumentError(
            f"this U-Net halves height and width at each resolution, to no less than 2, and comes "
            f"to features of {tuple(pixels.shape[-2:])}; give a sample whose sides it can halve"
        )
    return F.conv2d(
        F.pad(pixels, (1, 1, 1, 1), "reflect"), _kernel(pixels), stride=2, groups=pixels.shape[1]
    )


def doubled(pixels: Tensor) -> Tensor:
    """Double height and width of (B, C, H, W) by the filter, with reflected edges."""
    padded = F.pad(pixels, (1, 1, 1, 1), "reflect")
    kernel = 4 * _kernel(pixels)
    return F.conv_transpose2d(padded, kernel, stride=2, padding=3, groups=pixels.shape[1])


def _kernel(pixels: Tensor) -> Tensor:
    """Return the filter for each channel, (C, 1, 4, 4)."""
    line = pixels.new_tensor(_FILTER)
    return torch.outer(line, line).expand(pixels.shape[1], 1, -1, -1)
