"""Encodes images for IP-Adapters with the image encoder of a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError

from .adapter_file import AdapterWeights
from .given import for_rows, halves_given, images_given


def check_encoder(pipe: Any, adapters: Sequence[AdapterWeights]) -> None:
    """Check that the pipeline can encode images for these adapters.

    Raises:
        ArgumentError: if it has no image encoder or feature extractor, or an encoder of another
            width.
    """
    for name in ("image_encoder", "feature_extractor"):
        if getattr(pipe, name, None) is None:
            raise ArgumentError(
                f"this {type(pipe).__name__} has no {name}, so it can't encode ip_adapter_image; "
                f"load the adapter with image_encoder_folder=, give {name}= to from_pretrained, or "
                f"give ip_adapter_image_embeds"
            )
    config = pipe.image_encoder.config
    for adapter in adapters:
        by_states = adapter.image_proj.reads == "states"
        width = config.hidden_size if by_states else config.projection_dim
        if width != adapter.image_proj.in_width:
            raise ArgumentError(
                f"{adapter.origin} reads encoded images of the width "
                f"{adapter.image_proj.in_width}, but the image encoder of this "
                f"{type(pipe).__name__} makes {width}; load the encoder with which the adapter was "
                f"trained"
            )


def encode_image(
    self: Any,
    image: Any,
    device: torch.device | str | None,
    num_images_per_prompt: int,
    output_hidden_states: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Return encoded images and their negative counterpart, each repeated for the images to draw.

    These are embeddings (N, D) and zeros; or with `output_hidden_states` the states before the last
    layer, (N, patches, D), and those of an image of zeros.

    Args:
        image: an image or a list of images; or a tensor (N, 3, H, W), which the feature extractor
            has prepared.
        device: the device for the encoder's input; None means that of the pipeline.
        num_images_per_prompt: the number of repetitions.
        output_hidden_states: whether to return states.
    """
    encoder = self.image_encoder
    if not isinstance(image, Tensor):
        image = self.feature_extractor(image, return_tensors="pt").pixel_values
    pixels = image.to(self.device if device is None else device, encoder.dtype)
    # Older transformers collect hidden states in the module.
    with self.tokenizing(encoder):
        if output_hidden_states:
            both = (
                encoder(one, output_hidden_states=True).hidden_states[-2]
                for one in (pixels, torch.zeros_like(pixels))
            )
            encoded, negative = (
                one.repeat_interleave(num_images_per_prompt, dim=0) for one in both
            )
        else:
            encoded = encoder(pixels).image_embeds
            encoded = encoded.repeat_interleave(num_images_per_prompt, dim=0)
            negative = torch.zeros_like(encoded)
    return encoded, negative


def embeds_for(
    pipe: Any,
    adapters: Sequence[AdapterWeights],
    image: Any,
    embeds: Any,
    *,
    device: torch.device | str | None,
    guided: bool,
    rows: int | None = None,
    repeats: int = 1,
) -> list[Tensor]:
    """Return both halves of `image_embeds`: a tensor (B or 2B, images, ...) for each adapter.

    Args:
        image, embeds: `ip_adapter_image` and `ip_adapter_image_embeds` of a call; one is given. The
            second has all parts of a step, in the order of the pipeline's `guided_halves`.
        guided: whether the negative half comes before the other one.
        rows: the number B of images that are drawn; by default one for each prompt, times
            `repeats`.

    Raises:
        ArgumentError, ArgumentTypeError: if they don't fit the adapters.
    """
    if embeds is not None:
        halves = halves_given(embeds, adapters, pipe.guided_halves if guided else (1,))
    else:
        halves = []
        for one, adapter in zip(images_given(image, adapters), adapters):
            by_states = adapter.image_proj.reads == "states"
            encoded, negative = encode_image(pipe, one, device, 1, by_states)
            halves.append((negative[None], encoded[None]))
    made = []
    for negative, positive in halves:
        count = len(positive) * repeats if rows is None else rows
        parts = [negative, positive] if guided else [positive]
        made.append(torch.cat([for_rows(one, count) for one in parts]).to(device))
    return made
