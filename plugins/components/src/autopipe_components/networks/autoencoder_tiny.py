"""The tiny autoencoder, which was distilled from a larger one (TAESD, madebyollin/taesd)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autopipe.config import register_to_config
from autopipe.errors import ConfigError, nearest
from autopipe.modeling import ModelMixin, entry_point
from autopipe.outputs import BaseOutput
from autopipe.values import Range
from autopipe.wording import shown

from .activations import get_activation
from .checkpointing import Checkpointed
from .limits import LAYERS, LIMITS, WIDTH
from .tiling import in_ramped_tiles
from .vae import DecoderOutput, check_channels, in_fast_layout
from .vae_memory import Sliced

_UPSAMPLING = ("nearest", "bilinear", "bicubic")
_LARGEST = 3.0
"""The decoder limits latents smoothly to this magnitude."""


@dataclass
class AutoencoderTinyOutput(BaseOutput):
    """`latents`: (B, latent_channels, h, w)."""

    latents: Tensor


class AutoencoderTiny(Sliced, ModelMixin):
    """Encodes images and decodes latents with a few small convolutions.

    It takes and gives the latents of the autoencoder that it was distilled from, scaled as the
    denoising network expects them. Decoding takes a small part of the time and memory, and loses
    some detail. Each level but the first of the encoder halves the size. Slicing and tiling are
    settings of the model, so all pipelines that share the model share them.

    Raises:
        ConfigError: if a value contradicts another one, or is not supported.
    """

    _supports_gradient_checkpointing = True

    config_limits: ClassVar[Mapping[str, Range]] = {
        **LIMITS,
        "encoder_block_out_channels": WIDTH,
        "decoder_block_out_channels": WIDTH,
        "num_encoder_blocks": LAYERS,
        "num_decoder_blocks": LAYERS,
        "upsampling_scaling_factor": Range(1, 64),
    }

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        encoder_block_out_channels: Sequence[int] = (64, 64, 64, 64),
        decoder_block_out_channels: Sequence[int] = (64, 64, 64, 64),
        act_fn: str = "relu",
        upsample_fn: str = "nearest",
        latent_channels: int = 4,
        upsampling_scaling_factor: int = 2,
        num_encoder_blocks: Sequence[int] = (1, 3, 3, 3),
        num_decoder_blocks: Sequence[int] = (3, 3, 3, 1),
        latent_magnitude: float = 3,
        latent_shift: float = 0.5,
        force_upcast: bool = False,
        scaling_factor: float = 1.0,
        shift_factor: float = 0.0,
    ) -> None:
        super().__init__()
        _check_lengths("encoder", encoder_block_out_channels, num_encoder_blocks)
        _check_lengths("decoder", decoder_block_out_channels, num_decoder_blocks)
        if upsample_fn not in _UPSAMPLING:
            raise ConfigError(
                f"upsample_fn is {shown(upsample_fn)}; supported are {', '.join(_UPSAMPLING)}."
                f"{nearest(upsample_fn, _UPSAMPLING)}"
            )
        self.encoder = EncoderTiny(
            in_channels, latent_channels, encoder_block_out_channels, num_encoder_blocks, act_fn
        )
        upsample = nn.Upsample(scale_factor=upsampling_scaling_factor, mode=upsample_fn)
        self.decoder = DecoderTiny(
            latent_channels,
            out_channels,
            decoder_block_out_channels,
            num_decoder_blocks,
            act_fn,
            upsample,
        )
        self.latent_magnitude = latent_magnitude
        self.latent_shift = latent_shift
        self.tile_sample_min_size = 512
        self.spatial_scale_factor = 2 ** (len(num_encoder_blocks) - 1)
        self.tile_latent_min_size = self.tile_sample_min_size // self.spatial_scale_factor
        self.tile_overlap_factor = 0.125
        # Pipelines read the size of a latent cell from this entry.
        self.register_to_config(block_out_channels=decoder_block_out_channels)

    def scale_latents(self, x: Tensor) -> Tensor:
        """Return latents as values in [0, 1], which can be stored as a picture."""
        return (x / (2 * self.latent_magnitude) + self.latent_shift).clamp(0, 1)

    def unscale_latents(self, x: Tensor) -> Tensor:
        """Undo `scale_latents`."""
        return (x - self.latent_shift) * (2 * self.latent_magnitude)

    @entry_point
    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderTinyOutput | tuple[Tensor]:
        """Return the latents of images (B, in_channels, H, W) in [-1, 1].

        Raises:
            ArgumentError: if `x` has another shape.
        """
        check_channels("images", x, self.config.in_channels)
        latents = self.each_slice(self._encode, x)
        return AutoencoderTinyOutput(latents=latents) if return_dict else (latents,)

    @entry_point
    def decode(
        self,
        x: Tensor,
        generator: torch.Generator | None = None,
        return_dict: bool = True,
    ) -> DecoderOutput | tuple[Tensor]:
        """Decode latents (B, latent_channels, h, w) to images (B, out_channels, H, W).

        `generator` is not used.

        Raises:
            ArgumentError: if `x` has another shape.
        """
        check_channels("latents", x, self.config.latent_channels)
        images = self.each_slice(self._decode, x)
        return DecoderOutput(sample=images) if return_dict else (images,)

    def forward(self, sample: Tensor, return_dict: bool = True) -> DecoderOutput | tuple[Tensor]:
        """Encode images, round the latents as if they were stored in bytes, and decode them."""
        latents: Tensor = self.encode(sample)[0]
        stored = (self.scale_latents(latents) * 255).round().byte()
        return self.decode(self.unscale_latents(stored / 255.0), return_dict=return_dict)

    def _encode(self, images: Tensor) -> Tensor:
        tile = self.tile_sample_min_size
        return self._in_tiles(self.encoder, images, tile, self.tile_latent_min_size)

    def _decode(self, latents: Tensor) -> Tensor:
        tile = self.tile_latent_min_size
        return self._in_tiles(self.decoder, latents, tile, self.tile_sample_min_size)

    def _in_tiles(
        self, work: Callable[[Tensor], Tensor], whole: Tensor, tile: int, made: int
    ) -> Tensor:
        if not self.use_tiling:
            return work(whole)
        return in_ramped_tiles(work, whole, tile=tile, made=made, overlap=self.tile_overlap_factor)


class EncoderTiny(Checkpointed):
    """Encodes images (B, in_channels, H, W) in [-1, 1] to latents."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        counts: Sequence[int],
        act_fn: str,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_down(in_channels, widths, counts, act_fn), _conv(widths[-1], out_channels)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.run(self.layers, in_fast_layout((images + 1) / 2)).contiguous()


class DecoderTiny(Checkpointed):
    """Decodes latents (B, in_channels, h, w) to images of about [-1, 1]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        widths: Sequence[int],
        counts: Sequence[int],
        act_fn: str,
        upsample: nn.Upsample,
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(in_channels, widths[0]),
            Activated(act_fn),
            *_up(out_channels, widths, counts, act_fn, upsample),
        )

    def forward(self, latents: Tensor) -> Tensor:
        limited = torch.tanh(latents / _LARGEST) * _LARGEST
        return self.run(self.layers, in_fast_layout(limited)).contiguous() * 2 - 1


class Activated(nn.Module):
    """An activation function as a layer."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = get_activation(name)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.function(hidden)


class AutoencoderTinyBlock(nn.Module):
    """Three convolutions, added to the input."""

    def __init__(self, channels: int, act_fn: str) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(channels, channels),
            Activated(act_fn),
            _conv(channels, channels),
            Activated(act_fn),
            _conv(channels, channels),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        return F.relu(self.conv(hidden) + hidden)


def _down(
    in_channels: int, widths: Sequence[int], counts: Sequence[int], act_fn: str
) -> Iterator[nn.Module]:
    for level, (width, count) in enumerate(zip(widths, counts)):
        yield _conv(width, width, stride=2, bias=False) if level else _conv(in_channels, width)
        yield from (AutoencoderTinyBlock(width, act_fn) for _ in range(count))


def _up(
    out_channels: int,
    widths: Sequence[int],
    counts: Sequence[int],
    act_fn: str,
    upsample: nn.Upsample,
) -> Iterator[nn.Module]:
    for left, (width, count) in zip(reversed(range(len(widths))), zip(widths, counts)):
        yield from (AutoencoderTinyBlock(width, act_fn) for _ in range(count))
        if left:
            yield nn.Upsample(scale_factor=upsample.scale_factor, mode=upsample.mode)
        yield _conv(width, width, bias=False) if left else _conv(width, out_channels)


def _conv(inputs: int, outputs: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, stride=stride, bias=bias)


def _check_lengths(part: str, widths: Sequence[int], counts: Sequence[int]) -> None:
    """Check the config entries of the encoder or the decoder: one of each for every level."""
    if len(widths) != len(counts) or len(set(widths)) > 1:
        raise ConfigError(
            f"{part}_block_out_channels is {shown(tuple(widths))} and num_{part}_blocks is "
            f"{shown(tuple(counts))}; give both one entry for each level, and the same number of "
            f"channels"
        )
