"""Edits pictures by an instruction, with Stable Diffusion 1.x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.images.kinds import ImageInput
from autopipe_components.latent.starts import StartsFromNoise
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import IMAGE_PROMPTS, NAMES, TEXTS, checks_of
from autopipe_stable_diffusion.output import Result
from autopipe_stable_diffusion.steps import StableDiffusionSteps

from .guidance import GuidedByImage


class StableDiffusionInstructPix2PixPipeline(
    GuidedByImage[Result], StableDiffusionSteps, StartsFromNoise[Result]
):
    """Editing pictures by an instruction with Stable Diffusion 1.x.

    The components are those of `StableDiffusionPipeline`, with a U-Net of 8 input channels.
    """

    scheduler_corrections: ClassVar[Mapping[str, Any]] = {}

    check_inputs = checks_of("prompt callback_steps", f"{TEXTS} {IMAGE_PROMPTS} {NAMES}")

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        num_inference_steps: int = 100,
        guidance_scale: float = 7.5,
        image_guidance_scale: float = 1.5,
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
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        cross_attention_kwargs: dict[str, Any] | None = None,
        *,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Edit `image` as `prompt` says.

        All other parameters are those of `StableDiffusionPipeline`.

        Args:
            prompt: an instruction, such as "make it blue", or a list of them.
            image: the picture: PIL, array or tensor, a list, or latents (N, 4, h, w), not scaled.
                One per prompt, or fewer, which are then repeated.
            guidance_scale: how closely to follow the instruction.
            image_guidance_scale: how much of the picture to keep, usually from 1 to 2. Below 1,
                there is no guidance, by the instruction neither.

        Returns:
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
