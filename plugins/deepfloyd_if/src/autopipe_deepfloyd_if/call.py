"""The arguments that all calls of the family share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from autopipe.pipeline.call import Arguments
from autopipe.pipeline.loop import StepCallback
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Generators


class Call(Arguments):
    """The arguments that all calls of the family share, with the names of the parameters.

    Attributes:
        prompt, negative_prompt: what to generate and what to avoid: a string for a string, a list
            for a list.
        prompt_embeds, negative_prompt_embeds: encoded prompts (B, K, D) in place of strings.
        num_inference_steps: the number of denoising steps; more take longer and give better images.
        timesteps: a custom schedule, for schedulers that support it.
        guidance_scale: how closely to follow the prompt; guidance is off at 1 and below.
        num_images_per_prompt: the number of images per prompt.
        eta: the noise that DDIM adds in each step, in [0, 1]; other schedulers ignore it.
        generator: the random generator, or a list with one per image.
        output_type: `"pil"`, `"np"` in [0, 1], or `"pt"` in [-1, 1] for the next stage, without the
            safety checker.
        return_dict: if False, return a tuple.
        callback, callback_steps: the older form of a callback, `callback(step, timestep, images)`.
        clean_caption: remove everything but descriptions from the prompts; see `prepare_captions`.
        cross_attention_kwargs: keywords for the U-Net's attention.
        callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
            tensors in the dict that it returns replace those of the call. Setting
            `run._interrupt = True` skips the remaining steps.
        callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
        check_memory: if False, don't refuse calls that certainly exceed the memory.
    """

    prompt: Prompt | None
    negative_prompt: Prompt | None
    prompt_embeds: Tensor | None
    negative_prompt_embeds: Tensor | None
    num_inference_steps: int
    timesteps: Sequence[int] | None
    guidance_scale: float
    num_images_per_prompt: int
    eta: float
    generator: Generators
    output_type: str
    return_dict: bool
    callback: OlderCallback | None
    callback_steps: int | None
    clean_caption: bool
    cross_attention_kwargs: dict[str, Any] | None
    callback_on_step_end: StepCallback | None
    callback_on_step_end_tensor_inputs: Sequence[str]
    check_memory: bool
