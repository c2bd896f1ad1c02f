"""Text to image: from pure noise to what a prompt says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Text2Image
from autopipe_components.stages.checks import Prompt
from autopipe_components.stages.codec import Generators
from autopipe_components.stages.reports import OlderCallback

from .call import Call
from .steps import IFSteps, Result


class IFPipeline(IFSteps, Text2Image):
    """Text to image with the first stage of DeepFloyd IF."""

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        num_inference_steps: int = 100,
        timesteps: Sequence[int] | None = None,
        guidance_scale: float = 7.0,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        height: int | None = None,
        width: int | None = None,
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
        latents: Tensor | None = None,
    ) -> Result:
        """Draw what `prompt` says.

        All parameters that are not named here are those of `Call`.

        Args:
            height, width: in pixels; each is what the U-Net was trained for if absent.
            latents: the first noise (B, 3, height, width), instead of drawing it.

        Returns:
            `IFPipelineOutput`, or the tuple of its three values.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used. Nothing was computed.
        """
        # 1. Check everything that can be checked
        call = Call(
            prompt=prompt,
            negative_prompt=negative_prompt,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            num_inference_steps=num_inference_steps,
            timesteps=timesteps,
            guidance_scale=guidance_scale,
            num_images_per_prompt=num_images_per_prompt,
            eta=eta,
            generator=generator,
            output_type=output_type,
            return_dict=return_dict,
            callback=callback,
            callback_steps=callback_steps,
            clean_caption=clean_caption,
            cross_attention_kwargs=cross_attention_kwargs,
            callback_on_step_end=callback_on_step_end,
            callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
        )
        reports = self._begin(call)
        shape = self._shape(call, height, width, latents)

        # 2. Lay out the steps
        schedule = self._lay_out(call)

        # 3. Encode the prompt
        tensors = self._condition(call)

        # 4. Start from noise
        tensors["latents"] = self._noise(shape, tensors, call, latents)

        # 5. Denoise
        pixels = self._walk(tensors, schedule, reports, call)

        # 6. Make pictures
        return self._finish(pixels, call)
