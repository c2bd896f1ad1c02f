"""The steps that both pipelines share: noise on the embedding of an image, which the U-Net sees."""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.loop import Tensors
from autopipe.scheduling import SchedulerMixin
from autopipe.wording import shown
from autopipe_components.networks.embeddings import Timesteps
from autopipe_components.noise import randn_tensor
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.prompt import join_halves
from autopipe_components.steps.values import check_whole
from autopipe_stable_diffusion.text_steps import TextSteps

Result: TypeAlias = "ImagePipelineOutput | tuple[Any]"


class StableUnCLIPSteps(TextSteps[Result]):
    """The steps of a Stable Diffusion that sees a noised image embedding as class labels."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *TextSteps._callback_tensor_inputs,
        "image_embeds",
    )
    _exclude_from_cpu_offload: ClassVar[tuple[str, ...]] = ("image_normalizer",)
    output_class = ImagePipelineOutput
    required_components = ("unet", "scheduler", "image_normalizer", "image_noising_scheduler")

    image_normalizer: Any
    image_noising_scheduler: SchedulerMixin

    def check_conditioning(self) -> None:
        super().check_conditioning()
        self._check_noise_level(self.call.noise_level)
        takes = self.unet.config.projection_class_embeddings_input_dim
        if takes != 2 * self.image_embedding_dim:
            raise ArgumentError(
                f"the image normalizer has embeddings of {self.image_embedding_dim}, and the U-Net "
                f"takes {takes} numbers, where it should take twice that; load both from one "
                f"checkpoint"
            )

    def _check_source(self, name: str, width: int) -> None:
        """Check that a component makes embeddings of the size that the others take."""
        if width != self.image_embedding_dim:
            raise ArgumentError(
                f"the {name} makes embeddings of {width}, and the image normalizer takes "
                f"{self.image_embedding_dim}; load both from one checkpoint"
            )

    def _check_noise_level(self, level: Any) -> None:
        check_whole("noise_level", level)
        most = len(self.image_noising_scheduler)
        if not 0 <= level < most:
            raise ArgumentError(f"noise_level is {shown(level)}; give a step from 0 to {most - 1}")

    @property
    def image_embedding_dim(self) -> int:
        """The size of the image embeddings."""
        dim: int = self.image_normalizer.config.embedding_dim
        return dim

    def noise_image_embeddings(
        self,
        image_embeds: Tensor,
        noise_level: int | Tensor,
        noise: Tensor | None = None,
        generator: Generators = None,
    ) -> Tensor:
        """Return embeddings with noise, followed by the embedded noise level, (N, 2D).

        Args:
            image_embeds: (N, D).
            noise_level: the timestep of the noise; more noise gives freer images.
            noise: (N, D), of unit variance; by default it is drawn.
        """
        count = len(image_embeds)
        if noise is None:
            # A list may have a generator for each image that is drawn from one embedding.
            each = generator[:count] if isinstance(generator, (list, tuple)) else generator
            noise = randn_tensor(
                image_embeds.shape, each, device=image_embeds.device, dtype=image_embeds.dtype
            )
        levels = torch.as_tensor(noise_level, device=image_embeds.device).reshape(-1).expand(count)
        scaled = self.image_normalizer.scale(image_embeds)
        noised = self.image_noising_scheduler.add_noise(scaled, noise, levels)
        waves = Timesteps(image_embeds.shape[-1], flip_sin_to_cos=True, downscale_freq_shift=0)
        unscaled = self.image_normalizer.unscale(noised)
        return torch.cat([unscaled, waves(levels).to(unscaled)], dim=1)

    def see_image(self, tensors: Tensors, image_embeds: Tensor, batch_size: int) -> Tensors:
        """Return the tensors of a call with noised `image_embeds`, repeated for the batch.

        Under guidance, the negative half is zeros, without noise.

        Args:
            image_embeds: (N, D); N divides `batch_size`.
        """
        call = self.call
        noised = self.noise_image_embeddings(
            image_embeds, call.noise_level, generator=call.generator
        )
        noised = noised.repeat_interleave(batch_size // len(noised), dim=0)
        guided = self.do_classifier_free_guidance
        seen = join_halves(noised, torch.zeros_like(noised)) if guided else noised
        return {**tensors, "image_embeds": seen}

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {**super().denoiser_inputs(tensors), "class_labels": tensors["image_embeds"]}
