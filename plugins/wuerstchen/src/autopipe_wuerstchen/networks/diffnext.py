"""The network of the decoder, which predicts the noise in the latents of a `PaellaVQModel`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ConfigError
from autopipe.modeling import ModelMixin
from autopipe.wording import shown
from autopipe_components.networks.attentive import Attentive

from .layers import (
    WUERSTCHEN_LIMITS,
    AttnBlock,
    ChannelNorm,
    ResBlock,
    TimestepBlock,
    embed_times,
)
from .prior import check_heads, check_input

_LONGEST = 8
"""The most letters that describe a block."""


class WuerstchenDiffNeXt(Attentive, ModelMixin):
    """Stage B of Würstchen (Pernias et al. 2023, arXiv:2306.00637): a U-Net of ConvNeXt blocks.

    Lists have an entry for each resolution, from the highest. `level_config` spells a block:
    C for convolution, T for the time, A for attention to the prompt. `inject_effnet` is where the
    image of the prior joins.

    Raises:
        ConfigError: if a value contradicts another one, or is not supported.
    """

    config_limits = WUERSTCHEN_LIMITS

    @register_to_config
    def __init__(
        self,
        c_in: int = 4,
        c_out: int = 4,
        c_r: int = 64,
        patch_size: int = 2,
        c_cond: int = 1024,
        c_hidden: Sequence[int] = (320, 640, 1280, 1280),
        nhead: Sequence[int] = (-1, 10, 20, 20),
        blocks: Sequence[int] = (4, 4, 14, 4),
        level_config: Sequence[str] = ("CT", "CTA", "CTA", "CTA"),
        inject_effnet: Sequence[bool] = (False, True, True, True),
        effnet_embd: int = 16,
        clip_embd: int = 1024,
        kernel_size: int = 3,
        dropout: float | Sequence[float] = 0.1,
    ) -> None:
        super().__init__()
        levels = range(len(c_hidden))
        rates = [dropout] * len(c_hidden) if isinstance(dropout, (int, float)) else [*dropout]
        given: dict[str, Sequence[Any]] = {"nhead": nhead, "blocks": blocks, "dropout": rates}
        given |= {"level_config": level_config, "inject_effnet": inject_effnet}
        for name, one in given.items():
            if len(one) != len(c_hidden):
                raise ConfigError(
                    f"{name} has {len(one)} entries for {len(c_hidden)} of c_hidden; correct one"
                )
        if kernel_size % 2 == 0:
            raise ConfigError(
                f"kernel_size is {kernel_size}, which would change the size of the latents; give "
                f"an odd number"
            )
        for kinds in level_config:
            if not kinds or len(kinds) > _LONGEST or {*kinds} - {*"CTA"}:
                raise ConfigError(
                    f"level_config has {shown(kinds)}; spell blocks with C, T and A, {_LONGEST} "
                    f"letters at most"
                )

        def block(kind: str, level: int, skip: int) -> nn.Module:
            channels = c_hidden[level]
            if kind == "C":
                joins = skip + (c_cond if inject_effnet[level] else 0)
                return ResBlock(channels, skip=joins, kernel_size=kernel_size, dropout=rates[level])
            if kind == "T":
                return TimestepBlock(channels, c_r)
            check_heads(channels, nhead[level])
            return AttnBlock(channels, c_cond, nhead[level])

        def blocks_of(level: int, skip: int = 0) -> list[nn.Module]:
            """Return the blocks of a level, the first of which takes a skip connection."""
            kinds = level_config[level] * blocks[level]
            return [block(kind, level, 0 if place else skip) for place, kind in enumerate(kinds)]

        self.clip_mapper = nn.Linear(clip_embd, c_cond)
        self.effnet_mappers = nn.ModuleList(
            nn.Conv2d(effnet_embd, c_cond, kernel_size=1) if inject else nn.Identity()
            for inject in [*inject_effnet, *reversed(inject_effnet)]
        )
        self.seq_norm = nn.LayerNorm(c_cond, elementwise_affine=False, eps=1e-6)
        self.embedding = nn.Sequential(
            nn.PixelUnshuffle(patch_size),
            nn.Conv2d(c_in * patch_size**2, c_hidden[0], kernel_size=1),
            ChannelNorm(c_hidden[0]),
        )
        self.down_blocks = nn.ModuleList()
        self.up_blocks = nn.ModuleList()
        for level in levels:
            resize: list[nn.Module] = []
            if level:
                above, own = c_hidden[level - 1], c_hidden[level]
                halve = nn.Conv2d(above, own, kernel_size=2, stride=2)
                resize = [nn.Sequential(ChannelNorm(above), halve)]
            self.down_blocks.append(nn.ModuleList([*resize, *blocks_of(level)]))
        for level in reversed(levels):
            skip = c_hidden[level] if level < len(c_hidden) - 1 else 0
            resize = []
            if level:
                above, own = c_hidden[level - 1], c_hidden[level]
                twice = nn.ConvTranspose2d(own, above, kernel_size=2, stride=2)
                resize = [nn.Sequential(ChannelNorm(own), twice)]
            self.up_blocks.append(nn.ModuleList([*blocks_of(level, skip), *resize]))
        self.clf = nn.Sequential(
            ChannelNorm(c_hidden[0]),
            nn.Conv2d(c_hidden[0], 2 * c_out * patch_size**2, kernel_size=1),
            nn.PixelShuffle(patch_size),
        )

    @property
    def sample_width(self) -> int:
        """The channels for each cell of the latents; see `autopipe.placement.room`."""
        return int(self.config.c_hidden[0]) // int(self.config.patch_size) ** 2

    def forward(
        self,
        x: Tensor,
        r: Tensor,
        effnet: Tensor,
        clip: Tensor | None = None,
        x_cat: Tensor | None = None,
        eps: float = 1e-3,
        return_noise: bool = True,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the predicted noise (B, c_out, H, W).

        Args:
            x: the noisy latents (B, c_in, H, W).
            r: their times (B,), from 0 to 1.
            effnet: the images of the prior (B, effnet_embd, h, w).
            clip: the encoded prompts (B, K, clip_embd); needed by blocks with attention.
            x_cat: further channels of `x`, if `c_in` has them.
            eps: how far the predicted deviation stays from 0 and 1.
            return_noise: if False, return mean and deviation of the prediction.
        """
        whole = x if x_cat is None else torch.cat([x, x_cat], dim=1)
        check_input("x", whole, self.config.c_in)
        condition = None if clip is None else self.seq_norm(self.clip_mapper(clip))
        inputs = embed_times(r, self.config.c_r), condition, effnet
        pixels, outputs = self.embedding(whole), []
        mappers = iter(self.effnet_mappers)
        for blocks, mapper in zip(self.down_blocks, mappers):
            pixels = _through(blocks, pixels, mapper, None, inputs)
            outputs.append(pixels)
        outputs.pop()
        for number, (blocks, mapper) in enumerate(zip(self.up_blocks, mappers)):
            skip = outputs.pop() if number else None
            pixels = _through(blocks, pixels, mapper, skip, inputs)
        mean, deviation = self.clf(pixels).chunk(2, dim=1)
        deviation = deviation.sigmoid() * (1 - eps * 2) + eps
        return (whole - mean) / deviation if return_noise else (mean, deviation)


def _through(
    blocks: Any,
    pixels: Tensor,
    mapper: nn.Module,
    skip: Tensor | None,
    inputs: tuple[Tensor, Tensor | None, Tensor],
) -> Tensor:
    """Pass `pixels` through the blocks of a level; its first block takes the skip connection."""
    times, condition, effnet = inputs
    joined: Tensor | None = None
    for number, block in enumerate(blocks):
        if isinstance(block, ResBlock):
            if joined is None and isinstance(mapper, nn.Conv2d):
                size = pixels.shape[-2:]
                resized = F.interpolate(
                    effnet.float(), size=size, mode="bicubic", antialias=True, align_corners=True
                )
                joined = mapper(resized.to(effnet.dtype))
            parts = [one for one in (None if number else skip, joined) if one is not None]
            pixels = block(pixels, torch.cat(parts, dim=1) if parts else None)
        elif isinstance(block, AttnBlock):
            pixels = block(pixels, condition)
        else:
            pixels = block(pixels, times) if isinstance(block, TimestepBlock) else block(pixels)
    return pixels
