"""Inpainting: a decoder that draws embeddings into a part of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.codec import Generators
from autopipe_kandinsky.decoder import Embeds, Result
from autopipe_kandinsky.inpaint import Repaint

from .steps import KandinskyV22Decoder


class KandinskyV22InpaintPipeline(KandinskyV22Decoder, Repaint):
    """The decoder of Kandinsky 2.2 for inpainting."""

    @pipeline_call
    def __call__(
        self,
        image_embeds: Embeds,
        image: ImageInput,
        mask_image: ImageInput,
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
        strength: float = 1.0,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        check_memory: bool = True,
        adapters: Mapping[str, float] | None = None,
    ) -> Result:
        """Draw what the prior made of a text where `mask_image` is white.

        All parameters that are not named here are those of `KandinskyV22Pipeline`.

        Args:
            image: PIL images, arrays of bytes, or tensors in [-1, 1], or a list. One for each
                embedding, or fewer, which are then repeated.
            mask_image: white (at least a half) is repainted; as many as images, or one. It is
                widened by one latent cell.
            strength: from 0 to 1: which part of the steps is taken; at 1 the part is repainted
                from noise alone.
            callback_on_step_end_tensor_inputs: also `"mask_image"`, 1 where the image is kept,
                and `"masked_image"`, both in latents.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used. Nothing was computed.
        """
        return self.run_task()
