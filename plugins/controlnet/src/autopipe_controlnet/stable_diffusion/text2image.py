"""Text to image with a ControlNet: the control image determines the layout, the prompt the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import IMAGE_PROMPTS, NAMES, TEXTS, checks_of
from autopipe_stable_diffusion.output import Result
from autopipe_stable_diffusion.text2image import StableDiffusionPipeline

from ..condition import ControlNetAlone
from ..control import ControlImage, Numbers
from ..methods import CONTROL, DEFAULTS
from .components import StableDiffusionControlNet


class StableDiffusionControlNetPipeline(
    ControlNetAlone[Result], StableDiffusionControlNet, StableDiffusionPipeline
):
    """Text to image with Stable Diffusion 1.x and 2.x and a ControlNet."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *StableDiffusionPipeline._callback_tensor_inputs,
        "image",
    )

    check_inputs = checks_of(
        "prompt image callback_steps",
        f"{TEXTS} {IMAGE_PROMPTS} {CONTROL} {NAMES}",
        **DEFAULTS,
    )

    @pipeline_call
    def __call__(  # type: ignore[override]
        self,
        prompt: Prompt | None = None,
        image: ControlImage | None = None,
        height: int | None = None,
        width: int | None = None,
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
        controlnet_conditioning_scale: Numbers = 1.0,
        guess_mode: bool = False,
        control_guidance_start: Numbers = 0.0,
        control_guidance_end: Numbers = 1.0,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        control_image: ControlImage | None = None,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt`, conditioned on the control image.

        All other parameters are those of `StableDiffusionPipeline`.

        Args:
            image: the control image: PIL, array or tensor with values in [0, 1], or a list, for
                all prompts or one for each. Several ControlNets take a list with one for each,
                or such a list for each prompt.
            control_image: the same, under its name in the other tasks.
            height, width: in pixels, rounded down to the VAE's factor; by default those of the
                control image.
            controlnet_conditioning_scale: the strength; a number, or one for each ControlNet.
            guess_mode: don't apply the ControlNet to the negative half of guidance, so that the
                control image works without a prompt; a guidance scale of 3 to 5 suits it.
            control_guidance_start, control_guidance_end: the part of the steps, in [0, 1], in which
                the ControlNet is active; numbers, or one for each ControlNet.

        Returns:
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
