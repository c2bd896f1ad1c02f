"""The priors: from text, or from text and an image, to the embedding of an image."""

from __future__ import annotations

from collections.abc import Sequence

from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.image_embeddings.prior import ImageEmbeddingPrior
from autopipe_components.image_embeddings.prior_steps import Result
from autopipe_components.images.kinds import ImageInput
from autopipe_components.stages.checks import Prompt, check_image, check_strength
from autopipe_components.stages.codec import Generators, check_spread, tile
from autopipe_components.stages.image2image import add_noise
from autopipe_components.stages.reports import step_reports
from autopipe_components.stages.timesteps import keep_tail, set_schedule


class KandinskyV22PriorPipeline(ImageEmbeddingPrior):
    """The prior of Kandinsky 2.2: the embedding of an image of what a text says."""

    model_cpu_offload_seq = "text_encoder->image_encoder->prior"


class KandinskyV22PriorEmb2EmbPipeline(ImageEmbeddingPrior):
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
        # 1. Check everything that can be checked
        texts = self._check_call(
            prompt,
            negative_prompt,
            num_images_per_prompt=num_images_per_prompt,
            num_inference_steps=num_inference_steps,
            generator=generator,
            guidance_scale=guidance_scale,
            output_type=output_type,
        )
        self._guidance_scale = guidance_scale
        check_image(image)
        check_strength(strength)
        seen = self._as_seen(image)
        rows = len(texts.prompts)
        check_spread(seen, rows, "images")
        reports = step_reports(self, callback_on_step_end, callback_on_step_end_tensor_inputs)

        # 2. Lay out the steps
        schedule = set_schedule(
            self.scheduler, num_inference_steps=num_inference_steps, device=self._execution_device
        )
        schedule = keep_tail(self.scheduler, steps=schedule.steps, strength=strength)

        # 3. Encode texts and image
        tensors = self._condition(texts, num_images_per_prompt)
        embeds = self._embed(seen).to(tensors["prompt_embeds"])
        embeds = tile(embeds, rows, "images").repeat_interleave(num_images_per_prompt, dim=0)

        # 4. Put noise on the image's embedding
        generator = texts.generators(generator)
        tensors["latents"] = add_noise(
            self.scheduler, embeds, timestep=schedule.timesteps[0], generator=generator
        )

        # 5. Denoise
        denoised = self._denoise(tensors, schedule, reports, generator)

        # 6. Say what to keep away from
        return self._returned(denoised, texts, output_type, return_dict)
