"""Codecs, which map pixels to latents and back, and the functions with which tasks use them."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.placement.base import float32_copy
from autopipe.wording import logger

from ..scripting import retrieve_latents

if TYPE_CHECKING:
    from autopipe.modeling import ModelMixin

Generators: TypeAlias = torch.Generator | list[torch.Generator] | None
"""One generator for the batch, a list with one for each sample, or None for the global one."""

_log = logger(__name__)

_overflowed: weakref.WeakSet[ModelMixin] = weakref.WeakSet()
"""The models whose overflow in half precision has been reported by a warning."""


class Codec(Protocol):
    """Maps pixels (N, 3, H, W) in [-1, 1] to latents (N, `channels`, H / `factor`, W / `factor`).

    Latents are scaled to about unit variance, as the denoising loop expects.
    """

    @property
    def factor(self) -> int:
        """The number of pixels per latent cell, along each axis."""
        ...

    @property
    def channels(self) -> int:
        """The number of channels of the latents."""
        ...

    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the scaled latents of `image`; a random codec draws once for the whole batch."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Return the pixels of scaled latents, approximately in [-1, 1]."""
        ...


@dataclass(frozen=True)
class PixelCodec:
    """The codec of models that denoise pixels: both maps are the identity."""

    channels: int = 3
    factor: int = 1

    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return image

    def decode(self, latents: Tensor) -> Tensor:
        return latents


@dataclass(frozen=True)
class VaeCodec:
    """The codec of a variational autoencoder, which samples latents from its posterior.

    Latents are normalised: `(sample - latents_mean) * scaling_factor / latents_std`, where
    `shift_factor` may stand for all means. A family chooses its codec in the property `codec`.

    Attributes:
        vae: a model with `encode(x).latent_dist`, or `.latents` if it doesn't sample, and
            `decode(z).sample`, whose config has
            `scaling_factor`, `latent_channels` and `block_out_channels`, and may have
            `latents_mean`, `latents_std` (one number for each channel), `shift_factor` and
            `force_upcast`. The factor is `2 ** (len(block_out_channels) - 1)`.
        upcasts: whether to respect `force_upcast`: a model with that option encodes in float32,
            and decodes in float32 instead of float16.
        scaling: used in place of the config's `scaling_factor`; None for that.
    """

    vae: ModelMixin
    upcasts: bool = False
    scaling: float | None = None

    @property
    def factor(self) -> int:
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def channels(self) -> int:
        return int(self.vae.config.latent_channels)

    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the latents of `image`, in the dtype of `image`."""
        latents = self._encoded(image, generator)
        mean, deviation = self._statistics(latents)
        scaled: Tensor = (latents - mean) * self._scaling / deviation
        return scaled

    def encode_mode(self, image: Tensor) -> Tensor:
        """Return the most probable latents of `image`, not normalised, in the dtype of `image`.

        Networks that see an image beside the latents may have been trained on these.
        """
        return self._encoded(image, mode="argmax")

    def _encoded(
        self, image: Tensor, generator: torch.Generator | None = None, mode: str = "sample"
    ) -> Tensor:
        upcast = self._upcast_from(torch.float16, torch.bfloat16)
        with float32_copy(self.vae) if upcast else nullcontext(self.vae) as vae:
            encoded = vae.encode(image.to(_dtype(vae)))  # type: ignore[operator]
            return retrieve_latents(encoded, generator, mode).to(image)

    def decode(self, latents: Tensor) -> Tensor:
        """Decode `latents`, on their device; in float32 if half precision overflows."""
        device = latents.device
        if self._upcast_from(torch.float16):
            return self._decode_in_float32(latents).to(device)
        image = self.decode_with(self.vae, latents).to(device)
        if image.dtype == torch.float32 or bool(torch.isfinite(image).all()):
            return image
        if self.vae not in _overflowed:
            _overflowed.add(self.vae)
            _log.warning(
                "decoding in %s gave values that are not finite, so the images are decoded again "
                "in float32, as whenever this happens; an autoencoder made for %s avoids that",
                image.dtype,
                image.dtype,
            )
        return self._decode_in_float32(latents).to(image)

    def decode_with(self, vae: Any, latents: Tensor) -> Tensor:
        """Decode scaled latents with `vae`, which is the model itself or a float32 copy of it.

        Override it for a model that is called differently.
        """
        latents = latents.to(_dtype(vae))
        mean, deviation = self._statistics(latents)
        unscaled = latents * deviation / self._scaling + mean
        image: Tensor = vae.decode(unscaled).sample
        return image

    @property
    def _scaling(self) -> float:
        own: float = self.vae.config.scaling_factor
        return own if self.scaling is None else self.scaling

    def _statistics(self, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """Return mean and deviation of unscaled latents from the config; 0 and 1 by default.

        Either each channel has its own, or `shift_factor` is the mean of all.
        """
        config = self.vae.config
        mean = getattr(config, "latents_mean", None)
        deviation = getattr(config, "latents_std", None)
        if mean is None or deviation is None:
            return getattr(config, "shift_factor", None) or 0.0, 1.0
        return tuple(like.new_tensor(one).reshape(1, -1, 1, 1) for one in (mean, deviation))  # type: ignore[return-value]

    def _upcast_from(self, *dtypes: torch.dtype) -> bool:
        wanted = self.upcasts and getattr(self.vae.config, "force_upcast", False)
        return bool(wanted) and _dtype(self.vae) in dtypes

    def _decode_in_float32(self, latents: Tensor) -> Tensor:
        # With a copy, because other calls may be using the shared weights.
        with float32_copy(self.vae) as vae:
            return self.decode_with(vae, latents)


@dataclass(frozen=True)
class NoCodec:
    """The codec of a pipeline without an autoencoder; it can neither encode nor decode.

    Attributes:
        name: the name of the missing component.
    """

    name: str
    channels: int
    factor: int = 8

    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        raise self.absent()

    def decode(self, latents: Tensor) -> Tensor:
        raise self.absent()

    def absent(self) -> ArgumentError:
        """Return the error for a call that needs the autoencoder."""
        return ArgumentError(
            f"this pipeline has no {self.name}, so it can neither encode nor decode images; give "
            f'images as latents and output_type="latent", or load the '
            f"checkpoint without {self.name}=None"
        )


def channels_of_latents(config: Any) -> int:
    """Return the number of latent channels, from the config of the network that denoises them.

    Its input may have further channels for mask and masked image, and its output for a variance.
    """
    given = int(config.in_channels)
    made = int(getattr(config, "out_channels", None) or given)
    return given if given <= made else (given - 1) // 2


def _dtype(vae: Any) -> torch.dtype:
    dtype: torch.dtype = vae.dtype if hasattr(vae, "dtype") else next(vae.parameters()).dtype
    return dtype


def in_dtype_of(network: Any, value: Any) -> Any:
    """Return `value` with its floating-point tensors cast to the dtype of `network`.

    Tensors in dicts, lists and tuples are cast too. Components may differ in dtype, so the output
    of one is cast before the next one uses it.
    """
    dtype = getattr(network, "dtype", None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        return value
    return _cast(value, dtype)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, Mapping):
        return {name: _cast(one, dtype) for name, one in value.items()}
    return type(value)(_cast(o, dtype) for o in value) if type(value) in (list, tuple) else value


def are_latents(codec: Codec, image: Tensor) -> bool:
    """Whether `image` (N, C, h, w) holds latents: C is `codec.channels`, and not 3."""
    return image.shape[1] == codec.channels != 3


def check_pixels(codec: Codec, image: Tensor) -> None:
    """Check that `image` is latents, or pixels (N, 3, H, W) that `codec` can encode.

    Raises:
        ArgumentError: if `image` is neither latents nor RGB, or if it is pixels and `codec` is a
            `NoCodec`.
    """
    if isinstance(codec, NoCodec) and not are_latents(codec, image):
        raise codec.absent()
    if not are_latents(codec, image) and image.shape[1] != 3:
        raise ArgumentError(
            f"image has {image.shape[1]} channels (its shape is {tuple(image.shape)}); give "
            f"pixels with 3 (in an array as the last axis, in a tensor before height and width), "
            f"or a tensor of latents with {codec.channels}"
        )


def check_size_of_latents(codec: Codec, image: Tensor, size: tuple[int, int]) -> None:
    """Check that an image given as latents is for `size`, height and width in pixels.

    Raises:
        ArgumentError: if it is for another size.
    """
    cells = (size[0] // codec.factor, size[1] // codec.factor)
    if are_latents(codec, image) and tuple(image.shape[-2:]) != cells:
        raise ArgumentError(
            f"image is given as latents of {tuple(image.shape[-2:])} cells, and height and width "
            f"ask for {cells}; give height and width of the image that was encoded"
        )


def encode_images(codec: Codec, image: Tensor, generator: Generators) -> Tensor:
    """Return the latents of each of N images; if given latents, return them unchanged.

    A single generator draws for all images together. In a list, generator i draws for image i;
    generators beyond the number of images are not used.

    Raises:
        ArgumentError: if `generator` is a list with fewer generators than there are images.
    """
    if are_latents(codec, image):
        return image
    if generator is None or isinstance(generator, torch.Generator):
        return codec.encode(image, generator)
    if len(generator) < len(image):
        raise ArgumentError(
            f"got {len(image)} images and {len(generator)} generators; give one for each image"
        )
    each = zip(torch.split(image, 1), generator, strict=False)
    return torch.cat([codec.encode(one, source) for one, source in each])


def tile(tensor: Tensor, batch_size: int, what: str) -> Tensor:
    """Repeat `tensor` as a whole along its first axis, to the length `batch_size`.

    Args:
        what: a plural noun for the entries, for the error message.

    Raises:
        ArgumentError: if `batch_size` is not a multiple of the length of `tensor`.
    """
    check_spread(tensor, batch_size, what)
    count = tensor.shape[0]
    if count == batch_size:
        return tensor
    return tensor.repeat(batch_size // count, *(1,) * (tensor.ndim - 1))


def check_spread(tensor: Tensor, batch_size: int, what: str) -> None:
    """Check that `tile` can repeat `tensor` to `batch_size`.

    Raises:
        ArgumentError: if `batch_size` is not a multiple of the length of `tensor`.
    """
    count = tensor.shape[0]
    if count == 0 or batch_size % count:
        raise ArgumentError(
            f"{count} {what} can't be spread over a batch of {batch_size} (prompts x "
            f"num_images_per_prompt): their shape is {tuple(tensor.shape)}; give one, of shape "
            f"{(1, *tensor.shape[1:])}, or a number that divides the batch size"
        )
