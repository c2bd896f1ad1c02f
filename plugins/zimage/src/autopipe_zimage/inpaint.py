"""Inpainting: repaints the masked part of an image with a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Inpaint
from autopipe_components.images.kinds import ImageInput
from autopipe_components.latent import LatentInpaint
from autopipe_components.steps.chats import ChatEmbeds
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import NAMES, TEXTS, checks_of

from .output import Result
from .steps import ZImageImageSteps


class ZImageInpaintPipeline(ZImageImageSteps, LatentInpaint[Result], Inpaint):
    """Inpainting with Z-Image, whose network doesn't see the mask."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *ZImageImageSteps._callback_tensor_inputs,
        "mask",
        "masked_image_latents",
    )

    check_inputs = checks_of(
        "prompt image mask_image strength height width output_type", f"{TEXTS} {NAMES}"
    )

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        mask_image: ImageInput = None,  # type: ignore[assignment]
        masked_image_latents: Tensor | None = None,
        strength: float = 1.0,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 5.0,
        cfg_normalization: bool | float | None = False,
        cfg_truncation: float | None = 1.0,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: ChatEmbeds | None = None,
        negative_prompt_embeds: ChatEmbeds | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        joint_attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int = 512,
        *,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint the part of `image` where `mask_image` is white.

        All other parameters are those of `ZImagePipeline`.

        Args:
            image: the image: PIL, array or tensor, or a list; it is resized.
            mask_image: white where the image is repainted; it is resized too.
            masked_image_latents: not used by the network, which sees no mask; callbacks get them.
            strength: the part of the steps to take, in [0, 1]; below 1 the repainted part starts
                from what is there.
            height, width: in pixels, multiples of 16; by default those of the image, rounded down.
            latents: the initial latents (B, 16, height / 8, width / 8).

        Returns:
            `ZImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
