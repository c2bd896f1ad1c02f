"""Inpainting: what starts the latents, what the network sees of the mask, and what is kept.

Two kinds of network inpaint. One trained for it takes the mask and the masked image as further
channels. Any other is shown nothing of them; instead, after each step the latents outside the
mask are replaced by those of the original, noised to the level of the next step.
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
    """What a call knows of its image and mask, in latents. B is the batch, C the channels.

    Attributes:
        latents: (B, C, h, w), where the loop starts.
        noise: the noise in `latents`; the original is noised with it again at every step.
        original: clean latents of the image; None if the network sees the mask itself.
        mask: (B or 2B, 1, h, w), 1 where the image is repainted; 2B under guidance.
        masked_image_latents: latents of the image with the mask's part greyed, B or 2B as well;
            None if the image was given as latents.
    """

    latents: Tensor
    noise: Tensor
    original: Tensor | None
    mask: Tensor
    masked_image_latents: Tensor | None

    def extra_channels(self) -> tuple[Tensor, ...]:
        """What the network's input gets after the latents, along the channels; maybe nothing."""
        if self.original is not None:
            return ()
        assert self.masked_image_latents is not None
        return (self.mask, self.masked_image_latents)

    def keep(
        self, scheduler: SchedulerMixin, timesteps: Tensor, index: int, latents: Tensor
    ) -> Tensor:
        """`latents` after step `index`, with the original outside the mask.

        The original has the noise of the next step, and none after the last. Where the network
        sees the mask itself, `latents` stay as they are.
        """
        if self.original is None:
            return latents
        original, mask = self.original, self.mask[: len(latents)]
        upcoming = timesteps[index + 1 : index + 2]
        if len(upcoming):
            original = scheduler.add_noise(original, self.noise, upcoming)
        return blend(mask, latents, original)


def blend(mask: Tensor, painted: Tensor, kept: Tensor) -> Tensor:
    """`painted` where `mask` is 1, `kept` where it is 0."""
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
) -> Inpainting:
    """Encode image and masked image, draw the noise, and mix the first latents.

    Noise is drawn in this order: the image's encoding, if it is needed (it is not for pure noise
    or given latents, in a network that sees the mask); the noise, unless `latents` are given;
    the masked image's encoding, needed or not.

    Args:
        image: pixels (N, 3, H, W) in [-1, 1], or latents (N, C, h, w).
        mask: (M, 1, H, W), 1 where the image is repainted.
        timestep: the first timestep, a scalar.
        strength: 1.0 starts from pure noise; anything below mixes the image in.
        in_channels: of the network: C, or 2C + 1 if it sees the mask and the masked image.
        latents: unit noise to use instead of drawing.
        masked_image_latents: to use instead of encoding the masked image: latents, or an image.
        guided: under guidance, mask and masked image are doubled.
        noised: False starts from the clean image (another model has denoised it so far).

    Raises:
        ArgumentError: batch, mask, latents or generators don't fit, or the network's channels
            are neither C nor 2C + 1.
    """
    sees_mask = network_sees_mask(in_channels, codec.channels)
    check_single_channel(mask)
    image = image.to(torch.float32)
    pure = strength == 1.0

    given_latents = are_latents(codec, image)
    scale = 1 if given_latents else codec.factor
    size = (image.shape[2] // scale, image.shape[3] // scale)
    shape = (batch_size, codec.channels, *size)

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

    if masked_image_latents is None and not given_latents:
        masked_image_latents = image * (mask.to(image.device) < 0.5)
    if masked_image_latents is None and sees_mask:
        raise ArgumentError(
            "the image was given as latents, which can't be masked for this model; "
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
    """Refuse `masked_image_latents`, latents or an image, that don't show what `image` shows.

    Raises:
        ArgumentTypeError: they are not a tensor.
        ArgumentError: shape or number don't fit, or `codec` can't encode them.
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
    """Whether a network of `in_channels` takes mask and masked image besides its latents.

    Raises:
        ArgumentError: it takes neither the latents alone nor all three.
    """
    if in_channels not in (channels, 2 * channels + 1):
        raise ArgumentError(
            f"inpainting needs a network of {channels} or {2 * channels + 1} input channels, and "
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
    """`mask` (M, 1, H, W) at latent `size` (h, w) by nearest, repeated to (B, 1, h, w)."""
    # Resized in its own dtype, so that half precision can't move an edge.
    small = torch.nn.functional.interpolate(mask, size=size)
    return tile(small.to(device=device, dtype=dtype), batch_size, "masks")


def paste_unmasked(image: Tensor, original: Tensor, mask: Tensor) -> Tensor:
    """`image` with every pixel outside the mask exactly that of `original`, in float32.

    Otherwise those differ a little, since the original went through the codec. Paste before a
    safety check, so that what is checked is what is returned.

    Args:
        image: decoded pixels (B, 3, H, W) in [-1, 1].
        original: the pixels (N, 3, H, W) that were inpainted.
        mask: (M, 1, H, W); below 0.5 is kept. N and M divide B.

    Raises:
        ArgumentError: the original was given as latents, or the sizes differ.
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
