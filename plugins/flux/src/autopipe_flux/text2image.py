"""Text to image: generates an image of a prompt from noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Text2Image
from autopipe_components.latent import LatentText2Image
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import checks_of

from .output import Result
from .steps import FURTHER, FluxSteps


class FluxPipeline(FluxSteps, LatentText2Image[Result], Text2Image):
    """Text to image with Flux.1."""

    check_inputs = checks_of("prompt prompt_2 height width", f"{FURTHER} max_sequence_length")

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        true_cfg_scale: float = 1.0,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 28,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 3.5,
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
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt`.

        Args:
            prompt, prompt_2: a text or a list of texts for CLIP, and for T5, which has the first by
                default.
            negative_prompt, negative_prompt_2: what to avoid, with a `true_cfg_scale` above 1.
            true_cfg_scale: how closely to follow the prompt instead of the negative prompt. Above 1
                each step predicts twice, if there is a negative prompt.
            height, width: in pixels; by default 1024. They are rounded down to multiples of 16.
            num_inference_steps: the number of denoising steps; more give better images.
            sigmas: levels of noise from 1 down, before the shift, in place of even ones.
            guidance_scale: how closely to follow the prompt, for networks that take it as an input;
                others ignore it.
            num_images_per_prompt: the number of images per prompt.
            generator: the random generator, or a list with one per image.
            latents: the initial noise as tokens (B, N, C); by default it is sampled.
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
