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
from autopipe_components.steps.given import checks_of

from .methods import FURTHER, POOLED, TEXTS_2
from .output import Result
from .sizes import Size
from .steps import StableDiffusionXLSteps


class StableDiffusionXLPipeline(StableDiffusionXLSteps, LatentText2Image[Result], Text2Image):
    """Text to image with Stable Diffusion XL."""

    check_inputs = checks_of(
        "prompt prompt_2 height width callback_steps", f"{TEXTS_2} {POOLED} {FURTHER}"
    )

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        denoising_end: float | None = None,
        guidance_scale: float = 5.0,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        guidance_rescale: float = 0.0,
        original_size: Size | None = None,
        crops_coords_top_left: Size = (0, 0),
        target_size: Size | None = None,
        negative_original_size: Size | None = None,
        negative_crops_coords_top_left: Size = (0, 0),
        negative_target_size: Size | None = None,
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
            prompt, prompt_2: a text or a list of them, for the first and the second text encoder;
                the second reads `prompt` if it has none of its own.
            height, width: in pixels, multiples of 8; each is what the U-Net was trained for if
                absent.
            num_inference_steps: more steps, better images, longer calls.
            timesteps, sigmas: a schedule of your own instead, for schedulers that take one.
            denoising_end: stop when this part of the noise, in (0, 1), has been removed, for a
                refiner to go on with `denoising_start`; 0 and 1 go to the end.
            guidance_scale: how closely to follow the prompt; 1 and below turns guidance off.
            negative_prompt, negative_prompt_2: what to keep away from; a lone text counts for all
                prompts. Without any, checkpoints with `force_zeros_for_empty_prompt` take zeros.
            num_images_per_prompt: how many images of each prompt.
            eta: how much noise DDIM adds in its steps, from 0 to 1; others ignore it.
            generator: the source of noise, or a list with one for each image.
            latents: the first noise (B, C, height / 8, width / 8), instead of drawing it.
            prompt_embeds, negative_prompt_embeds: encoded prompts (B, K, D), instead of texts.
            pooled_prompt_embeds, negative_pooled_prompt_embeds: (B, P), along with them.
            ip_adapter_image, ip_adapter_image_embeds: refused; not supported yet.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.
            return_dict: False returns a tuple.
            cross_attention_kwargs: for the U-Net's attention.
            guidance_rescale: from 0 to 1; counters over-exposure (arXiv 2305.08891).
            original_size, crops_coords_top_left, target_size: what the U-Net is told of sizes:
                see `Sizes`. Those of the image if absent.
            negative_original_size, negative_crops_coords_top_left, negative_target_size: the same
                for the half without the prompt; used if both negative sizes are given.
            clip_skip: how many layers more of the text encoders to leave out.
            callback_on_step_end: `callback(run, step, timestep, tensors)` after each step; tensors
                in the dict that it returns replace those of the call. `run._interrupt = True`
                skips the remaining steps.
            callback_on_step_end_tensor_inputs: which tensors it gets.
            callback, callback_steps: the older form, `callback(step, timestep, latents)`.
            check_memory: False lets a call begin that this machine is surely too small for.
            adapters: the attachments that act in this call, and how strongly, such as
                `{"ink": 0.7}`; those that are switched on if absent.

        Returns:
            `StableDiffusionXLPipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError, ArgumentTypeError: an argument can't be used. Nothing was computed.
        """
        return self.run_task()
