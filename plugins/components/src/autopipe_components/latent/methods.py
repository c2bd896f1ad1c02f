"""Methods of latent families that programs with a loop of their own call, besides the steps.

Names, arguments and results are those that such programs know from diffusers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import ArgumentError

from ..images.arrays import denormalize, pt_to_numpy
from ..steps.checks import check_components
from ..steps.given import ChecksGiven
from ..steps.guidance import embed_scales
from ..steps.timesteps import keep_tail, start_at
from .autoencoder import AutoencoderPipeline


class LatentMethods(ChecksGiven, AutoencoderPipeline):
    """What a program calls between the steps of a loop of its own."""

    image_encoder: Any
    feature_extractor: Any

    def get_timesteps(
        self,
        num_inference_steps: int,
        strength: float,
        device: torch.device | str | None = None,
        denoising_start: float | None = None,
    ) -> tuple[Tensor, int]:
        """The timesteps that an image leaves of the schedule that is set, and how many steps.

        Args:
            num_inference_steps: of the whole schedule.
            strength: from 0 to 1: the part that is taken, from the end.
            device: accepted for its place in the signature; timesteps are where they were set.
            denoising_start: the part of the noise that is gone already; then `strength` isn't used.

        Raises:
            ArgumentError: no step is left.
        """
        if denoising_start is not None:
            schedule = start_at(self.scheduler, denoising_start)
        else:
            schedule = keep_tail(self.scheduler, steps=num_inference_steps, strength=strength)
        return schedule.timesteps, schedule.steps

    def get_guidance_scale_embedding(
        self, w: Tensor, embedding_dim: int = 512, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Guidance scales less 1, (N,), as (N, `embedding_dim`) for networks distilled on them."""
        return embed_scales(w, embedding_dim, dtype=dtype)

    def encode_image(
        self,
        image: Any,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        output_hidden_states: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the image encoder makes of `image`, and of none, repeated for each image.

        Args:
            image: PIL images, or what the feature extractor makes of them.
            output_hidden_states: the last layer but one (N, K, D) in the place of embeddings
                (N, D); a black image stands for none, instead of zeros.

        Raises:
            ArgumentError: the pipeline has no image encoder.
        """
        if self.image_encoder is None:
            raise ArgumentError("this pipeline has no image encoder; load it with image_encoder=")
        if not isinstance(image, Tensor):
            image = self.feature_extractor(image, return_tensors="pt").pixel_values
        image = image.to(device=device, dtype=next(self.image_encoder.parameters()).dtype)
        if output_hidden_states:
            both = [self.image_encoder(one, output_hidden_states=True).hidden_states[-2]
                    for one in (image, torch.zeros_like(image))]  # fmt: skip
        else:
            embeds = self.image_encoder(image).image_embeds
            both = [embeds, torch.zeros_like(embeds)]
        found, none = (one.repeat_interleave(num_images_per_prompt, dim=0) for one in both)
        return found, none

    def decode_latents(self, latents: Tensor) -> np.ndarray:
        """Pictures (B, H, W, 3) in [0, 1] of scaled latents (B, C, h, w).

        Raises:
            ArgumentError: the pipeline has no autoencoder.
        """
        check_components(self, ("vae",))
        return pt_to_numpy(denormalize(self.codec.decode(latents)))

    def upcast_vae(self) -> None:
        """Make the autoencoder float32, for all pipelines that share it.

        Calls of this pipeline don't need it: where an autoencoder asks for float32, they use a
        copy for the moment.

        Raises:
            ArgumentError: the pipeline has no autoencoder.
        """
        check_components(self, ("vae",))
        self.vae.to(dtype=torch.float32)
