"""The priors: from text, or from text and an image, to the embedding of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from autopipe.pipeline.call import pipeline_call
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
    """The prior of Kandinsky 2.2: the embedding of an image of what a text says."""

    model_cpu_offload_seq = "text_encoder->image_encoder->prior"


class KandinskyV22PriorEmb2EmbPipeline(StrengthMethods, ImageEmbeddingPrior):
    """The prior of Kandinsky 2.2, starting from the embedding of a given image."""

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
        adapters: Mapping[str, float] | None = None,
    ) -> Result:
        """The embedding of `image`, changed towards what `prompt` says.

        All parameters that are not named here are those of `KandinskyV22PriorPipeline`.

        Args:
            image: PIL images, arrays (H, W, 3) of bytes, pixels (N, 3, H, W) as `image_processor`
                makes them, or embeddings (N, D), or a list; one for each prompt, or fewer, which
                are then repeated.
            strength: from 0 to 1: which part of the steps is taken; 1 ignores the image.

        Returns:
            `KandinskyPriorPipelineOutput`, or the tuple of its values.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used. Nothing was computed.
        """
        return self.run_prior(self._from_image)

    def _from_image(self, texts: Texts) -> Start:
        """As `PriorSteps.run_prior` asks for: from the embedding of the image, with noise on it."""
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
        """Embeddings (B, D) with the noise of `timestep` on them.

        Args:
            emb: (N, D); N divides B.
            timestep: one, or one for each of B.
            batch_size: how many prompts; B is that times `num_images_per_prompt`.

        Raises:
            ArgumentError: embeddings or generators don't fit the batch.
        """
        embeds = emb.to(device=device, dtype=dtype)
        embeds = tile(embeds, batch_size * num_images_per_prompt, "embeddings")
        return add_noise(self.scheduler, embeds, timestep=timestep, generator=generator)

    def _encode_image(
        self, image: ImageInput, device: torch.device | str | None, num_images_per_prompt: int
    ) -> Tensor:
        """Embeddings (B, D) of images, each repeated for its embeddings."""
        embeds = self.embed_images(self.preprocess_images(image), device)
        return embeds.repeat_interleave(num_images_per_prompt, dim=0)
