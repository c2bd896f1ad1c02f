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
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import IMAGE_PROMPTS, NAMES, TEXTS, checks_of

from .output import Result
from .steps import StableDiffusionSteps


class StableDiffusionInpaintPipeline(StableDiffusionSteps, LatentInpaint[Result], Inpaint):
    """Inpainting with Stable Diffusion 1.x and 2.x; the U-Net may take the mask, or not."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *StableDiffusionSteps._callback_tensor_inputs,
        "mask",
        "masked_image_latents",
    )
    size_multiple = None
    scheduler_corrections: ClassVar = {"steps_offset": 1, "skip_prk_steps": True}

    check_inputs = checks_of(
        "prompt image mask_image height width strength callback_steps output_type",
        f"{TEXTS} {IMAGE_PROMPTS} {NAMES} padding_mask_crop",
    )

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        mask_image: ImageInput = None,  # type: ignore[assignment]
        masked_image_latents: Tensor | None = None,
        height: int | None = None,
        width: int | None = None,
        padding_mask_crop: int | None = None,
        strength: float = 1.0,
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 7.5,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        paste_unmasked: bool = False,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint the white part of `mask_image` with `prompt`.

        All other parameters are those of `StableDiffusionPipeline`.

        Args:
            image: the image: PIL, array or tensor, a list, or latents (N, 4, h, w). One per prompt,
                or fewer, which are then repeated.
            mask_image: the mask, of the same types; values of at least 0.5 are repainted.
            masked_image_latents: the encoded image without its masked part.
            height, width: in pixels, multiples of the VAE's factor; the image is resized to them.
                The default is the training resolution of the U-Net.
            padding_mask_crop: crop the image to the mask with at least this many pixels around it,
                repaint the crop at full size, and paste it back. PIL images only.
            strength: the part of the steps to take, in [0, 1]; 1 starts from pure noise.
            paste_unmasked: restore the unmasked pixels of the image exactly. Otherwise they differ
                slightly, because they are encoded and decoded.

        Returns:
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
