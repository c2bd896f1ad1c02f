"""Text to image: generates an image of a prompt from noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Text2Image
from autopipe_components.latent import LatentText2Image, SkipsLayers
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.given import checks_of

from .output import Result
from .prompts import GIVEN
from .steps import StableDiffusion3Steps


class StableDiffusion3Pipeline(
    SkipsLayers[Result], StableDiffusion3Steps, LatentText2Image[Result], Text2Image
):
    """Text to image with Stable Diffusion 3."""

    check_inputs = checks_of("prompt prompt_2 prompt_3 height width", GIVEN)

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        prompt_3: Prompt | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 28,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 7.0,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        negative_prompt_3: Prompt | None = None,
        num_images_per_prompt: int = 1,
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
        joint_attention_kwargs: dict[str, Any] | None = None,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int = 256,
        skip_guidance_layers: Sequence[int] | None = None,
        skip_layer_guidance_scale: float = 2.8,
        skip_layer_guidance_stop: float = 0.2,
        skip_layer_guidance_start: float = 0.01,
        mu: float | None = None,
        *,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt`.

        Args:
            prompt, prompt_2, prompt_3: a string or a list of strings for the first and the second
                CLIP encoder and for T5; the others default to the first.
            height, width: in pixels, multiples of 16 for published checkpoints; by default the
                training resolution of the transformer.
            num_inference_steps: the number of denoising steps; more give better images.
            sigmas: noise levels in [0, 1], descending, in place of evenly spaced ones.
            guidance_scale: how closely to follow the prompt; guidance is off at 1 and below.
            negative_prompt, negative_prompt_2, negative_prompt_3: what to avoid; a single string is
                used for all prompts.
            num_images_per_prompt: the number of images per prompt.
            generator: the random generator, or a list with one per image.
            latents: the initial noise (B, C, height / 8, width / 8); by default it is sampled.
            prompt_embeds, negative_prompt_embeds: encoded prompts (B, K, D) in place of strings.
            pooled_prompt_embeds, negative_pooled_prompt_embeds: (B, P), required with them.
            ip_adapter_image, ip_adapter_image_embeds: image prompts or their embeddings, for an
                attached add-on that takes them.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.
            return_dict: if False, return a tuple.
            joint_attention_kwargs: keywords for the transformer's attention.
            clip_skip: the number of additional layers of the CLIP encoders to skip.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
                tensors in the dict that it returns replace those of the call. Setting
                `run._interrupt = True` skips the remaining steps.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            max_sequence_length: the number of tokens that T5 reads, 1 to 512.
            skip_guidance_layers: the numbers of layers, from 0, without which a further prediction
                is made, from which guidance leads away; for Stable Diffusion 3.5 medium
                `[7, 8, 9]`.
            skip_layer_guidance_scale: how far it leads away from that.
            skip_layer_guidance_stop, skip_layer_guidance_start: the part of the steps in which it
                does, as fractions of all steps; at the end and at the start themselves it doesn't.
            mu: the shift towards noise, for schedulers with `use_dynamic_shifting`; by default it
                follows from the size.
            check_memory: if False, don't refuse calls that certainly exceed the memory.
            adapters: the strengths of the attachments in this call, such as `{"ink": 0.7}`; by
                default those of the pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `StableDiffusion3PipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
