"""Text to image: generates images of a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Text2Image
from autopipe_components.latent import LatentText2Image
from autopipe_components.steps.chats import ChatEmbeds
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators

from .output import Result
from .steps import ZImageSteps


class ZImagePipeline(ZImageSteps, LatentText2Image[Result], Text2Image):
    """Text to image with Z-Image."""

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 5.0,
        cfg_normalization: bool | float | None = False,
        cfg_truncation: float | None = 1.0,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: ChatEmbeds | None = None,
        negative_prompt_embeds: ChatEmbeds | None = None,
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
            prompt: a string, or a list of strings.
            height, width: in pixels, multiples of 16.
            num_inference_steps: the number of denoising steps; more give better images.
            sigmas: the levels of noise of the steps, from 1 down, which the scheduler shifts.
            guidance_scale: how closely to follow the prompt; guidance is off at 0 and below.
            cfg_normalization: the guided prediction is shortened to at most this many times the
                length of that of the prompt; True means 1; None, False and 0 don't shorten it.
            cfg_truncation: the part of the time, in [0, 1], after which guidance is off; None
                means never.
            negative_prompt: what to avoid; a single string is used for all prompts.
            num_images_per_prompt: the number of images per prompt.
            generator: the random generator, or a list with one per image.
            latents: the initial noise (B, 16, height / 8, width / 8); by default it is sampled.
            prompt_embeds, negative_prompt_embeds: encoded prompts in place of strings, a tensor
                (tokens, width) of each in a list.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.
            return_dict: if False, return a tuple.
            joint_attention_kwargs: keywords for the attention of the network.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
                tensors in the dict that it returns replace those of the call. Setting
                `run._interrupt = True` skips the remaining steps.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            max_sequence_length: the most tokens of a prompt, with those that the chat adds.
            check_memory: if False, don't refuse calls that certainly exceed the memory.
            adapters: the strengths of the attachments in this call, such as `{"ink": 0.7}`; by
                default those of the pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `ZImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
