"""Inpainting: repaints the region that a mask marks, according to a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Inpaint
from autopipe_components.images.kinds import ImageInput
from autopipe_components.latent import LatentInpaint
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import checks_of

from .output import Result
from .steps import FURTHER, FluxSteps


class FluxInpaintPipeline(FluxSteps, LatentInpaint[Result], Inpaint):
    """Inpainting with Flux.1."""

    check_inputs = checks_of(
        "prompt prompt_2 image mask_image strength height width output_type",
        f"{FURTHER} padding_mask_crop max_sequence_length",
    )

    @pipeline_call
    def __call__(  # type: ignore[override]  # diffusers has the image after the prompts.
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        true_cfg_scale: float = 1.0,
        image: ImageInput | None = None,
        mask_image: ImageInput | None = None,
        masked_image_latents: Tensor | None = None,
        height: int | None = None,
        width: int | None = None,
        padding_mask_crop: int | None = None,
        strength: float = 0.6,
        num_inference_steps: int = 28,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 7.0,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        negative_ip_adapter_image: Any = None,
        negative_ip_adapter_image_embeds: Any = None,
        negative_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        joint_attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int = 512,
        *,
        paste_unmasked: bool = False,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint the masked region of `image` according to `prompt`.

        Args:
            prompt, prompt_2: a text or a list of texts for CLIP, and for T5, which has the first by
                default.
            negative_prompt, negative_prompt_2: what to avoid, with a `true_cfg_scale` above 1.
            true_cfg_scale: how closely to follow the prompt instead of the negative prompt. Above 1
                each step predicts twice, if there is a negative prompt.
            image: images as PIL images, arrays, tensors or latents (N, C, h, w), or a list of them.
            mask_image: masks, white where the image is repainted.
            masked_image_latents: latents of the masked image; without effect on these networks.
            height, width: of the result, to which the image is resized; by default 1024. They are
                rounded down to multiples of 16.
            padding_mask_crop: repaint only the region around the mask, with a margin of this many
                pixels, and paste it back.
            strength: how much of the schedule to run, in [0, 1].
            num_inference_steps: the number of denoising steps; more give better images.
            sigmas: levels of noise from 1 down, before the shift, in place of even ones.
            guidance_scale: how closely to follow the prompt, for networks that take it as an input;
                others ignore it.
            num_images_per_prompt: the number of images per prompt.
            generator: the random generator, or a list with one per image.
            latents: the noise (B, C, h, w); by default it is sampled.
            prompt_embeds, negative_prompt_embeds: encoded prompts (B, K, D) in place of texts.
            pooled_prompt_embeds, negative_pooled_prompt_embeds: (B, P), required with them.
            ip_adapter_image, ip_adapter_image_embeds: image prompts or their embeddings, for an
                attached add-on that takes them.
            negative_ip_adapter_image, negative_ip_adapter_image_embeds: the same for what to avoid.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`, which are tokens (B, N, C).
            return_dict: if False, return a tuple.
            joint_attention_kwargs: keywords for the transformer's attention.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
                tensors in the dict that it returns replace those of the call. Setting
                `run._interrupt = True` skips the remaining steps.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            max_sequence_length: the number of tokens of the prompt for T5, at most 512; networks
                without a guidance scale were trained with 256.
            paste_unmasked: keep the exact pixels outside the mask.
            check_memory: if False, don't refuse calls that certainly exceed the memory.
            adapters: the strengths of the attachments in this call, such as `{"ink": 0.7}`; by
                default those of the pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `FluxPipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
