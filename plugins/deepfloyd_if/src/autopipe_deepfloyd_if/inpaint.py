"""Inpainting: repaints the masked part of an image with a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Inpaint
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import TEXTS, checks_of

from .image_steps import IFImageSteps, IFMaskSteps
from .steps import Result


class IFInpaintingPipeline(IFMaskSteps, Inpaint):
    """Inpainting with the first stage of DeepFloyd IF."""

    check_inputs = checks_of("prompt image mask_image batch_size callback_steps", TEXTS)
    preprocess_image = IFImageSteps.preprocess_original_image

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        mask_image: ImageInput = None,  # type: ignore[assignment]
        strength: float = 1.0,
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        guidance_scale: float = 7.0,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        clean_caption: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        *,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint what `mask_image` marks white with what `prompt` says; the rest is unchanged.

        All other parameters are those of `Call`.

        Args:
            image, strength: as for `IFImg2ImgPipeline`.
            mask_image: PIL, array or tensor, or a list; values of at least 0.5 are repainted.

        Returns:
            `IFPipelineOutput`, or the tuple of its three values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
