"""Inpainting: a decoder that repaints a part of an image with embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
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
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint the white part of `mask_image` with the prior's embeddings.

        All other parameters are those of `KandinskyV22Pipeline`.

        Args:
            image: the image: PIL, uint8 array or tensor in [-1, 1], or a list. One per embedding,
                or fewer, which are then repeated.
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
