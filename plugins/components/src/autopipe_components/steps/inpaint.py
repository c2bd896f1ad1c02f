"""Inpainting: the initial latents, the mask, and what is restored after each step.

Networks that were trained for inpainting take the mask and the masked image as further channels.
With any other network, the latents outside the mask are replaced after each step by those of the
original, noised to the level of the next step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.scheduling import SchedulerMixin

from ..images.masks import check_single_channel
from .checks import check_tensor
from .codec import (
    Codec,
    Generators,
    are_latents,
    check_pixels,
    check_spread,
    encode_images,
    tile,
)
from .guidance import double
from .text2image import unit_noise


@dataclass(frozen=True)
class Inpainting:
    """The image and mask of a call as latents; B is the batch size, C the number of channels.

    Attributes:
        latents: (B, C, h, w), where the loop starts.
        noise: the noise in `latents`; the same noise is added to the original in every step.
        original: clean latents of the image; None if the network takes the mask.
        mask: (B or 2B, 1, h, w), 1 where the image is repainted; 2B under guidance.
        masked_image_latents: latents of the image with the masked region in grey, B or 2B; None
            if the image was given as latents.
    """

    latents: Tensor
    noise: Tensor
    original: Tensor | None
    mask: Tensor
    masked_image_latents: Tensor | None

    def extra_channels(self) -> tuple[Tensor, ...]:
        """Return the tensors to append to the latents along the channels; may be empty."""
        if self.original is not None:
            return ()
        assert self.masked_image_latents is not None
        return (self.mask, self.masked_image_latents)

    def keep(
        self, scheduler: SchedulerMixin, timesteps: Tensor, index: int, latents: Tensor
    ) -> Tensor:
        """Return `latents` after step `index`, with the original outside the mask.

        The original has the noise level of the next step, and no noise after the last step. If the
        network takes the mask, `latents` are returned unchanged.
        """
        if self.original is None:
            return latents
        original, mask = self.original, self.mask[: len(latents)]
        upcoming = timesteps[index + 1 : index + 2]
        if len(upcoming):
            original = scheduler.add_noise(original, self.noise, upcoming)
        return blend(mask, latents, original)


def blend(mask: Tensor, painted: Tensor, kept: Tensor) -> Tensor:
    """Return `painted` where `mask` is 1, and `kept` where it is 0."""
    return (1 - mask) * kept + mask * painted


def start_inpainting(
    codec: Codec,
    scheduler: SchedulerMixin,
    *,
    image: Tensor,
    mask: Tensor,
    timestep: Tensor,
    strength: float,
    batch_size: int,
    in_channels: int,
    dtype: torch.dtype,
    device: torch.device | str,
    generator: Generators = None,
    latents: Tensor | None = None,
    masked_image_latents: Tensor | None = None,
    guided: bool = False,
    noised: bool = True,
    pure: bool | None = None,
    keeps_latents: bool = False,
) -> Inpainting:
    """Encode image and masked image, draw the noise, and compute the initial latents.

    Random numbers are drawn in this order: for encoding the image, if needed (a network that takes
    the mask doesn't need it for pure noise or given latents); for the noise, unless `latents` are
    given; for encoding the masked image, always. With `keeps_latents`, the noise comes first.

    Args:
        image: pixels (N, 3, H, W) in [-1, 1], or latents (N, C, h, w).
        mask: (M, 1, H, W), 1 where the image is repainted.
        timestep: the first timestep, a scalar.
        strength: 1.0 starts from pure noise; smaller values mix in the image.
        in_channels: input channels of the network: C, or 2C + 1 if it takes mask and masked image.
        latents: unit noise to use instead of drawing it.
        masked_image_latents: latents or pixels to use instead of masking the image.
        guided: whether to double mask and masked image, for guidance.
        noised: False adds no noise to the image, which another model has partly denoised.
        pure: whether to start from pure noise; by default, if `strength` is 1.0.
        keeps_latents: whether `latents`, if given, are only where the loop starts, so that other
            noise is drawn for the original.

    Raises:
        ArgumentError: if images, masks, latents or generators don't match the batch, or
            `in_channels` is neither C nor 2C + 1.
    """
    sees_mask = network_sees_mask(in_channels, codec.channels)
    check_single_channel(mask)
    image = image.to(torch.float32)
    pure = strength == 1.0 if pure is None else pure

    given_latents = are_latents(codec, image)
    scale = 1 if given_latents else codec.factor
    size = (image.shape[2] // scale, image.shape[3] // scale)
    shape = (batch_size, codec.channels, *size)

    drawn = None
    if latents is not None and keeps_latents:
        drawn = unit_noise(shape, generator=generator, dtype=dtype, device=device)
    original = None
    if not sees_mask or not noised or (latents is None and not pure):
        original = encode_images(codec, image.to(device=device, dtype=dtype), generator)
        original = tile(original, batch_size, "images")

    noise = unit_noise(shape, generator=generator, dtype=dtype, device=device, given=latents)
    if not noised:
        assert original is not None
        first = original
    elif pure or latents is not None:
        first = noise * scheduler.init_noise_sigma
    else:
        assert original is not None
        first = scheduler.add_noise(original, noise, timestep.reshape(1).repeat(batch_size))
    noise = noise if drawn is None else drawn

    if masked_image_latents is None and not given_latents:
        masked_image_latents = image * (mask.to(image.device) < 0.5)
    if masked_image_latents is None and sees_mask:
        raise ArgumentError(
            "this model takes the masked image, and an image given as latents can't be masked; "
            "give masked_image_latents too, or the image as pixels"
        )
    masked = None
    if masked_image_latents is not None:
        masked = masked_image_latents.to(device=device, dtype=dtype)
        masked = tile(encode_images(codec, masked, generator), batch_size, "masked images")

    small = mask_to_latents(mask, size, batch_size=batch_size, dtype=dtype, device=device)
    return Inpainting(
        latents=first,
        noise=noise,
        original=None if sees_mask else original,
        mask=double(small) if guided else small,
        masked_image_latents=double(masked) if guided and masked is not None else masked,
    )


def check_masked(codec: Codec, given: Tensor | None, image: Tensor, batch_size: int) -> None:
    """Check that `masked_image_latents`, which are latents or pixels, match `image`.

    Args:
        given: the argument `masked_image_latents`.

    Raises:
        ArgumentTypeError: if `given` is not a tensor.
        ArgumentError: if its shape or number doesn't match, or `codec` can't encode it.
    """
    if given is None:
        return
    check_tensor("masked_image_latents", given)
    factor = codec.factor
    scale = 1 if are_latents(codec, image) else factor
    height, width = image.shape[2] // scale, image.shape[3] // scale
    cells = (codec.channels, height, width)
    pixels = (3, height * factor, width * factor)
    if given.ndim != 4 or tuple(given.shape[1:]) not in (cells, pixels):
        raise ArgumentError(
            f"masked_image_latents have shape {tuple(given.shape)}; give latents of shape "
            f"{(batch_size, *cells)}, or pixels of shape {(batch_size, *pixels)}"
        )
    check_pixels(codec, given)
    check_spread(given, batch_size, "masked_image_latents")


def network_sees_mask(in_channels: int, channels: int) -> bool:
    """Whether a network with `in_channels` takes mask and masked image in addition to latents.

    Args:
        channels: the number of channels of the latents, C.

    Raises:
        ArgumentError: if `in_channels` is neither C nor 2C + 1.
    """
    if in_channels not in (channels, 2 * channels + 1):
        raise ArgumentError(
            f"inpainting needs a network with {channels} or {2 * channels + 1} input channels, and "
            f"this one has {in_channels}; load a checkpoint for inpainting or text-to-image"
        )
    return in_channels != channels


def mask_to_latents(
    mask: Tensor,
    size: tuple[int, int],
    *,
    batch_size: int,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Tensor:
    """Resize `mask` (M, 1, H, W) to `size` (h, w) by nearest neighbour; repeat it for the batch."""
    # Resized before the cast, since half precision could move an edge.
    small = torch.nn.functional.interpolate(mask, size=size)
    return tile(small.to(device=device, dtype=dtype), batch_size, "masks")


def paste_unmasked(image: Tensor, original: Tensor, mask: Tensor) -> Tensor:
    """Return `image` in float32, with the exact pixels of `original` outside the mask.

    Otherwise these pixels differ slightly, because the original was encoded and decoded. Paste
    before a safety check, so that it checks the images that are returned.

    Args:
        image: decoded pixels (B, 3, H, W) in [-1, 1].
        original: the pixels (N, 3, H, W) before inpainting.
        mask: (M, 1, H, W); pixels below 0.5 are kept. N and M divide B.

    Raises:
        ArgumentError: if the original was given as latents, or the sizes differ.
    """
    if original.shape[1:] != image.shape[1:]:
        raise ArgumentError(
            f"paste_unmasked needs the original as pixels {tuple(image.shape[1:])} (channels, "
            f"height, width), and it is {tuple(original.shape[1:])}; give image as pixels, or "
            f"leave paste_unmasked out"
        )
    painted = image.float()
    kept = tile(original, len(image), "images").to(painted)
    return torch.where(tile(mask, len(image), "masks").to(image.device) < 0.5, kept, painted)
