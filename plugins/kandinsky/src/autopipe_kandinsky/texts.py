"""The texts of a call, and their encoding."""

from __future__ import annotations

from dataclasses import dataclass

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.pipeline.call import Arguments
from autopipe_components.steps.checks import (
    Prompt,
    check_generators,
    check_guidance,
    check_images_per_prompt,
    check_negative_prompt,
    check_output_type,
    check_steps,
    check_text,
)
from autopipe_components.steps.codec import Generators


@dataclass(frozen=True)
class Texts:
    """The texts that a call encodes. Embeddings of negative prompts are additional rows.

    Attributes:
        prompts: the prompts, followed by the negative prompts if there are any.
        unconditional: for each of them, the text from which guidance leads away.
        negative: whether there are negative prompts.
    """

    prompts: list[str]
    unconditional: list[str]
    negative: bool

    def generators(self, generator: Generators) -> Generators:
        """Repeat a list of generators for the negative prompts, which also need noise."""
        if self.negative and isinstance(generator, (list, tuple)):
            return list(generator) * 2
        return generator


def check_texts(call: Arguments) -> Texts:
    """Check the arguments of all calls, and return the texts to encode.

    Raises:
        ArgumentError: if an argument is not valid.
        ArgumentTypeError: if an argument has the wrong type.
    """
    prompt, negative_prompt = call.prompt, call.negative_prompt
    if prompt is None:
        raise ArgumentTypeError("prompt is missing; give a string or a list of strings")
    check_text("prompt", prompt)
    check_text("negative_prompt", negative_prompt)
    check_images_per_prompt(call.num_images_per_prompt)
    check_steps(call.num_inference_steps)
    check_guidance(call.guidance_scale)
    check_output_type(call.output_type, ("pt", "np"))
    prompts = [prompt] if isinstance(prompt, str) else prompt
    check_generators(call.generator, len(prompts) * call.num_images_per_prompt)
    if negative_prompt is None:
        return Texts(prompts, [""] * len(prompts), False)
    negative = [negative_prompt] if isinstance(negative_prompt, str) else negative_prompt
    if len(negative) != len(prompts):
        raise ArgumentError(
            f"got {len(negative)} negative prompts for {len(prompts)} prompts; give one for each"
        )
    return Texts(prompts + negative, negative * 2, True)


def texts_to_encode(prompt: Prompt, guided: bool, negative_prompt: Prompt | None) -> list[str]:
    """Return the prompts; with guidance, after as many negative prompts.

    Raises:
        ArgumentError: if the numbers of prompts and negative prompts differ.
        ArgumentTypeError: if they are not strings, or one is a list and the other is not.
    """
    check_text("prompt", prompt)
    check_text("negative_prompt", negative_prompt)
    texts = [prompt] if isinstance(prompt, str) else prompt
    if not guided:
        return texts
    check_negative_prompt(negative_prompt, prompt, len(texts))
    away = negative_prompt or [""] * len(texts)
    return [*([away] if isinstance(away, str) else away), *texts]
