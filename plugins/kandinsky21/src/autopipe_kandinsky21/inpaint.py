"""Inpainting: a decoder that repaints a part of an image with embeddings and a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_kandinsky.decoder import Embeds, Result
from autopipe_kandinsky.inpaint import Repaint

from .steps import KandinskyDecoder, KandinskyImageDecoder


class KandinskyInpaintPipeline(KandinskyImageDecoder, Repaint):
    """The decoder of Kandinsky 2.1 for inpainting."""

    _callback_tensor_inputs = (
        *KandinskyDecoder._callback_tensor_inputs,
        "masked_image",
        "mask_image",
    )
    keeps_unmasked = False

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt,
        image: ImageInput,
        mask_image: ImageInput,
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
        strength: float = 1.0,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint the white part of `mask_image` with `prompt` and the prior's embeddings of it.

        All other parameters are those of `KandinskyPipeline`.

        Args:
            image: the image: PIL, uint8 array or tensor in [-1, 1], or a list. One per prompt, or
                fewer, which are then repeated.
            mask_image: the mask; values of at least 0.5 are repainted. One, or one per image. It
                is widened by one latent cell.
            strength: the part of the steps to take, in [0, 1]; 1 starts from pure noise.
            callback_on_step_end_tensor_inputs: also `"mask_image"`, 1 where the image is kept,
                and `"masked_image"`, both in latents.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
