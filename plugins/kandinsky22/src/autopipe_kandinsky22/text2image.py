"""Text to image: a decoder that draws embeddings from noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.codec import Generators
from autopipe_kandinsky.decoder import Embeds, Result
from autopipe_kandinsky.text2image import FromNoise

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
        check_memory: bool = True,
        adapters: Mapping[str, float] | None = None,
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
            check_memory: False lets a call begin that this machine is surely too small for.
            adapters: the attachments that act in this call, and how strongly, such as
                `{"ink": 0.7}`; those that are switched on if absent.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used. Nothing was computed.
        """
        return self.run_task()
