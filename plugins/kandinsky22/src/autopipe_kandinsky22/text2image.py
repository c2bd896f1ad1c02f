"""Text to image: a decoder that draws embeddings from noise."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.image_embeddings.decoder import Embeds, Result
from autopipe_components.image_embeddings.text2image import FromNoise
from autopipe_components.stages.codec import Generators
from autopipe_components.stages.reports import OlderCallback, step_reports

from .steps import KandinskyV22Decoder


class KandinskyV22Pipeline(KandinskyV22Decoder, FromNoise):
    """The decoder of Kandinsky 2.2 for text to image."""

    @pipeline_call
    def __call__(
        self,
        image_embeds: Embeds,
        negative_image_embeds: Embeds,
        height: int = 512,
        width: int = 512,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
    ) -> Result:
        """Draw what the prior made of a text.

        Args:
            image_embeds, negative_image_embeds: what the prior returns: (B, D) each, or lists.
            height, width: in pixels; rounded up to a multiple of the autoencoder's factor squared.
            num_inference_steps: more steps, better images, longer calls.
            guidance_scale: how closely to follow the embeddings; 1 and below turns guidance off.
            num_images_per_prompt: how many images of each embedding.
            generator: the source of noise, or a list with one for each image.
            latents: the first noise (B, C, h, w), instead of drawing it.
            output_type: `"pil"`, `"np"`, `"pt"` (pixels in [-1, 1], not clipped) or `"latent"`.
            return_dict: False returns a tuple.
            callback_on_step_end: `callback(run, step, timestep, tensors)` after each step; tensors
                in the dict that it returns replace those of the call. `run._interrupt = True`
                skips the remaining steps.
            callback_on_step_end_tensor_inputs: which tensors it gets.
            callback, callback_steps: the older form, `callback(step, timestep, latents)`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used. Nothing was computed.
        """
        # 1. Check everything that can be checked, and prepare what to start from
        rows = self._start_call(
            image_embeds,
            negative_image_embeds,
            height=height,
            width=width,
            num_images_per_prompt=num_images_per_prompt,
            generator=generator,
            guidance_scale=guidance_scale,
            output_type=output_type,
        )
        start = self._prepare(
            rows,
            num_images_per_prompt,
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            latents=latents,
        )
        reports = step_reports(
            self, callback_on_step_end, callback_on_step_end_tensor_inputs, callback, callback_steps
        )

        # 2. Take the embeddings
        tensors = self._condition(image_embeds, negative_image_embeds, num_images_per_prompt)

        # 3. Denoise noise
        drawn = self._draw(tensors, start, generator=generator, reports=reports)

        # 4. Decode the images
        return self._returned(drawn, output_type, return_dict)
