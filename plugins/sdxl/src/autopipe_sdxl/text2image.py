"""Text to image: generates an image of a prompt from noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
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
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt`.

        Args:
            prompt, prompt_2: a string or a list of strings for the first and the second text
                encoder; `prompt_2` defaults to `prompt`.
            height, width: in pixels, multiples of 8; by default the training resolution of the
                U-Net.
            num_inference_steps: the number of denoising steps; more give better images.
            timesteps, sigmas: a custom schedule, for schedulers that support it.
            denoising_end: stop when this part of the noise, in (0, 1), is removed, so that a
                refiner can continue with `denoising_start`; 0 and 1 go to the end.
            guidance_scale: how closely to follow the prompt; guidance is off at 1 and below.
            negative_prompt, negative_prompt_2: what to avoid; a single string is used for all
                prompts. Without any, checkpoints with `force_zeros_for_empty_prompt` use zeros.
            num_images_per_prompt: the number of images per prompt.
            eta: the noise that DDIM adds in each step, in [0, 1]; other schedulers ignore it.
            generator: the random generator, or a list with one per image.
            latents: the initial noise (B, C, height / 8, width / 8); by default it is sampled.
            prompt_embeds, negative_prompt_embeds: encoded prompts (B, K, D) in place of strings.
            pooled_prompt_embeds, negative_pooled_prompt_embeds: (B, P), required with them.
            ip_adapter_image, ip_adapter_image_embeds: image prompts or their embeddings, for an
                attached add-on that takes them: a list with an entry for each of its adapters.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.
            return_dict: if False, return a tuple.
            cross_attention_kwargs: keywords for the U-Net's attention.
            guidance_rescale: a factor in [0, 1] that reduces over-exposure (arXiv 2305.08891).
            original_size, crops_coords_top_left, target_size: the micro-conditioning; see `Sizes`.
                By default the size of the image.
            negative_original_size, negative_crops_coords_top_left, negative_target_size: likewise,
                for the negative half; used if both negative sizes are given.
            clip_skip: the number of additional layers of the text encoders to skip.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
                tensors in the dict that it returns replace those of the call. Setting
                `run._interrupt = True` skips the remaining steps.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            callback, callback_steps: the older form, `callback(step, timestep, latents)`.
            check_memory: if False, don't refuse calls that certainly exceed the memory.
            adapters: the strengths of the attachments in this call, such as `{"ink": 0.7}`; by
                default those of the pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `StableDiffusionXLPipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
