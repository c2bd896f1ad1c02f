"""What every call of the family takes."""

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
    """What every call of the family takes, named as its parameters are.

    Attributes:
        prompt, negative_prompt: what to draw and what to keep away from: a text for a text, a
            list for a list.
        prompt_embeds, negative_prompt_embeds: encoded prompts (B, K, D), instead of texts.
        num_inference_steps: more steps, better images, longer calls.
        timesteps: a schedule of your own instead, for schedulers that take one.
        guidance_scale: how closely to follow the prompt; 1 and below turns guidance off.
        num_images_per_prompt: how many images of each prompt.
        eta: how much noise DDIM adds in its steps, from 0 to 1; others ignore it.
        generator: the source of noise, or a list with one for each image.
        output_type: `"pil"`, `"np"` in [0, 1], or `"pt"` in [-1, 1], which is what the next stage
            takes, unchecked by the safety checker.
        return_dict: False returns a tuple.
        callback, callback_steps: the older form of a callback, `callback(step, timestep, images)`.
        clean_caption: take out of the prompts what is not description; see `prepare_captions`.
        cross_attention_kwargs: for the U-Net's attention.
        callback_on_step_end: `callback(run, step, timestep, tensors)` after each step; tensors in
            the dict that it returns replace those of the call. `run._interrupt = True` skips the
            remaining steps.
        callback_on_step_end_tensor_inputs: which tensors it gets.
        check_memory: False lets a call begin that this machine is surely too small for.
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
