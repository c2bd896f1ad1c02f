"""Text to image: a decoder that generates images from embeddings and a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_kandinsky.decoder import Embeds, Result
from autopipe_kandinsky.text2image import FromNoise

from .steps import KandinskyDecoder


class KandinskyPipeline(KandinskyDecoder, FromNoise):
    """The decoder of Kandinsky 2.1 for text to image."""

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt,
        image_embeds: Embeds,
        negative_image_embeds: Embeds,
        negative_prompt: Prompt | None = None,
        height: int = 512,
        width: int = 512,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        return_dict: bool = True,
        *,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt` from the prior's embeddings of it.

        Args:
            prompt: the text of the embeddings, or a list of texts.
            image_embeds, negative_image_embeds: the prior's outputs: (B, D) each, or lists.
            negative_prompt: what to avoid, one for each prompt.
            height, width: in pixels, rounded up to a multiple of the squared autoencoder factor.
            num_inference_steps: the number of denoising steps; more give better images.
            guidance_scale: how closely to follow text and embeddings; guidance is off at 1 and
                below.
            num_images_per_prompt: the number of images per prompt.
            generator: the random generator, or a list with one per image.
            latents: the initial noise (B, C, h, w); by default it is sampled.
            output_type: `"pil"`, `"np"`, `"pt"` (pixels in [-1, 1], not clipped) or `"latent"`.
            callback, callback_steps: the older form, `callback(step, timestep, latents)`.
            return_dict: if False, return a tuple.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
                tensors in the dict that it returns replace those of the call. Setting
                `run._interrupt = True` skips the remaining steps.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            check_memory: if False, don't refuse calls that certainly exceed the memory.
            adapters: the strengths of the attachments in this call, such as `{"ink": 0.7}`; by
                default those of the pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
