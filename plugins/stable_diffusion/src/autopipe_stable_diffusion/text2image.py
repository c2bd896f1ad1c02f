"""Text to image: from pure noise to what a prompt says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Text2Image
from autopipe_components.latent import LatentText2Image
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import IMAGE_PROMPTS, NAMES, TEXTS, checks_of

from .output import Result
from .steps import StableDiffusionSteps


class StableDiffusionPipeline(StableDiffusionSteps, LatentText2Image[Result], Text2Image):
    """Text to image with Stable Diffusion 1.x and 2.x."""

    ignores_partial_size = True

    check_inputs = checks_of(
        "prompt height width callback_steps", f"{TEXTS} {IMAGE_PROMPTS} {NAMES}"
    )

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
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
        guidance_rescale: float = 0.0,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        check_memory: bool = True,
        adapters: Mapping[str, float] | None = None,
    ) -> Result:
        """Draw what `prompt` says.

        Args:
            prompt: a text or a list of them.
            height, width: in pixels, multiples of 8; unless both are given, the size that the
                U-Net was trained for.
            num_inference_steps: more steps, better images, longer calls.
            timesteps, sigmas: a schedule of your own instead, for schedulers that take one.
            guidance_scale: how closely to follow the prompt; 1 and below turns guidance off.
            negative_prompt: what to keep away from; a text for a text, a list for a list.
            num_images_per_prompt: how many images of each prompt.
            eta: how much noise DDIM adds in its steps, from 0 to 1; others ignore it.
            generator: the source of noise, or a list with one for each image.
            latents: the first noise (B, C, height / 8, width / 8), instead of drawing it.
            prompt_embeds, negative_prompt_embeds: encoded prompts (B, K, D), instead of texts.
            ip_adapter_image, ip_adapter_image_embeds: refused; not supported yet.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.
            return_dict: False returns a tuple.
            cross_attention_kwargs: for the U-Net's attention.
            guidance_rescale: from 0 to 1; counters over-exposure (arXiv 2305.08891).
            clip_skip: how many last layers of the text encoder to leave out.
            callback_on_step_end: `callback(run, step, timestep, tensors)` after each step; tensors
                in the dict that it returns replace those of the call. `run._interrupt = True`
                skips the remaining steps.
            callback_on_step_end_tensor_inputs: which tensors it gets.
            callback, callback_steps: the older form, `callback(step, timestep, latents)`.
            check_memory: False lets a call begin that this machine is surely too small for.
            adapters: the attachments that act in this call, and how strongly, such as
                `{"ink": 0.7}`; those that are switched on if absent.

        Returns:
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used. Nothing was computed.
        """
        return self.run_task()
