"""Methods of latent families for programs with their own loop.

Names, parameters and results are those of diffusers.
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
    """Mixin with methods for programs with their own loop."""

    image_encoder: Any
    feature_extractor: Any

    def get_timesteps(
        self,
        num_inference_steps: int,
        strength: float,
        device: torch.device | str | None = None,
        denoising_start: float | None = None,
    ) -> tuple[Tensor, int]:
        """Return the timesteps to run from an initial image, and their number of steps.

        Args:
            num_inference_steps: the number of steps of the whole schedule.
            strength: the fraction of the steps to take, from the end, in [0, 1].
            device: not used; the timesteps stay where `set_timesteps` put them.
            denoising_start: the fraction of noise that is already removed, in (0, 1); it replaces
                `strength`.

        Raises:
            ArgumentError: if no step remains.
        """
        if denoising_start is not None:
            schedule = start_at(self.scheduler, denoising_start)
        else:
            schedule = keep_tail(self.scheduler, steps=num_inference_steps, strength=strength)
        return schedule.timesteps, schedule.steps

    def get_guidance_scale_embedding(
        self, w: Tensor, embedding_dim: int = 512, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Return embeddings (N, `embedding_dim`) of guidance scales, for distilled networks.

        Args:
            w: guidance scales minus 1, (N,).
        """
        return embed_scales(w, embedding_dim, dtype=dtype)

    def encode_image(
        self,
        image: Any,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        output_hidden_states: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the embeddings of `image` and those that represent no image, each repeated.

        Args:
            image: PIL images, or the pixel values that the feature extractor returns.
            num_images_per_prompt: the number of repetitions.
            output_hidden_states: return hidden states (N, K, D) of the second to last layer
                instead of embeddings (N, D); a black image, not zeros, then represents no image.

        Raises:
            ArgumentError: if the pipeline has no image encoder.
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
        encoded, absent = (one.repeat_interleave(num_images_per_prompt, dim=0) for one in both)
        return encoded, absent

    def decode_latents(self, latents: Tensor) -> np.ndarray:
        """Decode scaled latents (B, C, h, w) to images (B, H, W, 3) in [0, 1].

        Raises:
            ArgumentError: if the pipeline has no autoencoder.
        """
        check_components(self, (self.autoencoder_name,))
        return pt_to_numpy(denormalize(self.codec.decode(latents)))

    def upcast_vae(self) -> None:
        """Cast the autoencoder to float32, for all pipelines that share it.

        Calls of this pipeline don't need it: they cast a temporary copy where the config of the
        autoencoder requires float32.

        Raises:
            ArgumentError: if the pipeline has no autoencoder.
        """
        check_components(self, (self.autoencoder_name,))
        self.autoencoder.to(dtype=torch.float32)
