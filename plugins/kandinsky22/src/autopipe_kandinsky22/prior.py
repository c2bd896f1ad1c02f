"""The priors: convert text, or text and an image, to the embedding of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.checks import Prompt, check_image, check_strength
from autopipe_components.steps.codec import Generators, check_spread, tile
from autopipe_components.steps.image2image import add_noise
from autopipe_components.steps.timesteps import Schedule
from autopipe_kandinsky.methods import StrengthMethods
from autopipe_kandinsky.prior import ImageEmbeddingPrior
from autopipe_kandinsky.prior_steps import Result, Start
from autopipe_kandinsky.texts import Texts


class KandinskyV22PriorPipeline(ImageEmbeddingPrior):
    """The prior of Kandinsky 2.2: converts text to the embedding of an image."""

    model_cpu_offload_seq = "text_encoder->image_encoder->prior"


class KandinskyV22PriorEmb2EmbPipeline(StrengthMethods, ImageEmbeddingPrior):
    """The prior of Kandinsky 2.2 that starts from the embedding of an image."""

    model_cpu_offload_seq = "text_encoder->image_encoder->prior"

    @pipeline_call
    def __call__(  # type: ignore[override]  # image comes before the negative prompt
        self,
        prompt: Prompt,
        image: ImageInput,
        strength: float = 0.3,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        num_inference_steps: int = 25,
        generator: Generators = None,
        guidance_scale: float = 4.0,
        output_type: str = "pt",
        return_dict: bool = True,
        *,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Return the embedding of `image`, changed towards `prompt`.

        All other parameters are those of `KandinskyV22PriorPipeline`.

        Args:
            image: PIL images, uint8 arrays (H, W, 3), pixels (N, 3, H, W) from `image_processor`,
                embeddings (N, D), or a list; one per prompt, or fewer, which are then repeated.
            strength: the part of the steps to take, in [0, 1]; 1 ignores the image.

        Returns:
            `KandinskyPriorPipelineOutput`, or the tuple of its values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_prior(self._from_image)

    def _from_image(self, texts: Texts) -> Start:
        """Return the start for `PriorSteps.run_prior`: the noised embedding of the image."""
        check_image(self.call.image)
        check_strength(self.call.strength)
        seen = self.preprocess_images(self.call.image)
        rows = len(texts.prompts)
        check_spread(seen, rows, "images")

        def start(tensors: Tensors, schedule: Schedule, generator: Generators) -> Tensor:
            embeds = self.embed_images(seen).to(tensors["prompt_embeds"])
            embeds = tile(embeds, rows, "images")
            embeds = embeds.repeat_interleave(self.call.num_images_per_prompt, dim=0)
            timesteps = schedule.timesteps[:1].repeat(len(embeds))
            count = self.call.num_images_per_prompt
            return self.prepare_latents(
                embeds, timesteps, rows, count, embeds.dtype, embeds.device, generator
            )

        return start

    def prepare_latents(  # type: ignore[override]  # from embeddings, not from noise
        self,
        emb: Tensor,
        timestep: Tensor,
        batch_size: int,
        num_images_per_prompt: int,
        dtype: torch.dtype,
        device: torch.device | str,
        generator: Generators = None,
    ) -> Tensor:
        """Return embeddings (B, D) with the noise of `timestep`.

        Args:
            emb: (N, D); N must divide B.
            timestep: one timestep, or one for each of B.
            batch_size: the number of prompts; B is that times `num_images_per_prompt`.

        Raises:
            ArgumentError: if embeddings or generators don't fit the batch.
        """
        embeds = emb.to(device=device, dtype=dtype)
        embeds = tile(embeds, batch_size * num_images_per_prompt, "embeddings")
        return add_noise(self.scheduler, embeds, timestep=timestep, generator=generator)

    def _encode_image(
        self, image: ImageInput, device: torch.device | str | None, num_images_per_prompt: int
    ) -> Tensor:
        """Return embeddings (B, D) of images, each repeated `num_images_per_prompt` times."""
        embeds = self.embed_images(self.preprocess_images(image), device)
        return embeds.repeat_interleave(num_images_per_prompt, dim=0)
