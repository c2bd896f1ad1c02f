"""Methods of the family for programs with their own denoising loop, by the names of diffusers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autopipe_components.dit import grid_positions
from autopipe_components.latent import FlowPipeline, PackedLatents
from autopipe_components.steps.checks import check_prompt, check_text

from .output import Result

SIGNED = "negative_prompt negative_prompt_2 prompt_embeds negative_prompt_embeds"
FURTHER = (
    f"{SIGNED} pooled_prompt_embeds negative_pooled_prompt_embeds "
    "callback_on_step_end_tensor_inputs"
)


class FluxMethods(PackedLatents[Result], FlowPipeline[Result]):
    """Methods for programs with their own denoising loop."""

    given_size_multiple = 1
    """Sizes are rounded."""

    @staticmethod
    def _prepare_latent_image_ids(
        batch_size: int, height: int, width: int, device: Any, dtype: torch.dtype
    ) -> Tensor:
        """Return the positions (height * width, 3) of tokens.

        Args:
            batch_size: has no effect.
            height, width: the number of tokens along each axis.
        """
        return grid_positions((1, height, width), device=device).to(dtype)

    @staticmethod
    def _pack_latents(
        latents: Tensor, batch_size: int, num_channels_latents: int, height: int, width: int
    ) -> Tensor:
        """Return latents as tokens (B, N, 4 * C).

        Args:
            latents: of this shape: (`batch_size`, `num_channels_latents`, `height`, `width`).
        """
        cells = latents.reshape(batch_size, num_channels_latents, height, width)
        return F.pixel_unshuffle(cells, 2).flatten(2).transpose(1, 2)

    @staticmethod
    def _unpack_latents(latents: Tensor, height: int, width: int, vae_scale_factor: int) -> Tensor:
        """Return latents (B, C, h, w) of tokens.

        Args:
            height, width: the size of the image in pixels.
            vae_scale_factor: the number of pixels per cell.
        """
        rows, columns = (int(side) // (2 * vae_scale_factor) for side in (height, width))
        return F.pixel_shuffle(torch.unflatten(latents.transpose(1, 2), 2, (rows, columns)), 2)

    def check_given_prompts(self, given: Mapping[str, Any]) -> None:
        names = ("prompt", "prompt_embeds", "negative_prompt", "negative_prompt_embeds")
        check_prompt(*(given.get(name) for name in names))
        for name in ("prompt_2", "negative_prompt_2"):
            check_text(name, given.get(name))
