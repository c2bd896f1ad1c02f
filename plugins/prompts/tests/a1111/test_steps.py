"""Prompts that are combined by AND, or change from step to step, in calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autopipe import Attachment, AutoPipelineForImage2Image, EulerDiscreteScheduler
from autopipe.errors import ArgumentError
from autopipe_prompts.embeds import weighted_embeds

ROUNDING = 1e-4
"""Halves of guidance run in batches of other sizes, over a few steps."""

Draw = Callable[..., Tensor]


class Predictions(Attachment):
    """Keeps the prediction of each step."""

    name = "predictions"

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def predict(self, run: Any, tensors: Any, predict: Any, strength: Any) -> Any:
        def keeping(step: int, timestep: Tensor) -> Tensor:
            self.kept.append(predict(step, timestep))
            return self.kept[-1]

        return keeping


@pytest.fixture
def predicted(sd: Any, draw: Draw) -> Callable[..., Tensor]:
    """`predicted(prompt, ...)`: the prediction of a call with one step."""
    sd.attach("a1111")
    sd.attach(Predictions())

    def prediction(prompt: Any, **call: Any) -> Tensor:
        kept = Predictions()
        sd.detach("predictions")
        sd.attach(kept)
        draw(sd, prompt, **{"num_inference_steps": 1, **call})
        return kept.kept[0]

    return prediction


def test_and_adds_the_weighted_differences_to_the_negative_prompt(
    sd: Any, predicted: Callable[..., Tensor]
) -> None:
    sd.scheduler = EulerDiscreteScheduler.from_config(sd.scheduler.config)
    # With a scale of 1 + t, a prediction is negative + (1 + t) * (prompt - negative).
    far, near = (
        {text: predicted(text, guidance_scale=scale) for text in ("a red star", "a blue circle")}
        for scale in (3.0, 2.0)
    )
    difference = {text: far[text] - near[text] for text in far}
    negative = near["a red star"] - 2 * difference["a red star"]
    expected = negative + 2 * (1.0 * difference["a red star"] + 0.6 * difference["a blue circle"])
    found = predicted("a red star AND a blue circle :0.6", guidance_scale=2.0)
    assert torch.allclose(found, expected, atol=ROUNDING)


def test_one_prompt_combined_with_itself_by_half_is_itself(sd: Any, draw: Draw) -> None:
    sd.attach("a1111")
    plain = draw(sd, "a red star")
    both = draw(sd, "a red star:0.5 AND a red star:0.5")
    assert torch.allclose(both, plain, atol=ROUNDING)


def test_prompts_of_a_batch_have_their_own_parts(sd: Any, draw: Draw) -> None:
    # Without noise in the steps, which differs for each place in a batch.
    sd.scheduler = EulerDiscreteScheduler.from_config(sd.scheduler.config)
    sd.attach("a1111")
    prompts = ["a red star AND a blue circle", "a green square"]
    noise = torch.randn((4, *draw(sd).shape[1:]), generator=torch.Generator().manual_seed(1))
    batch = draw(sd, prompts, latents=noise, num_images_per_prompt=2)
    for i, prompt in enumerate(prompts):
        own = draw(sd, prompt, latents=noise[2 * i : 2 * i + 2], num_images_per_prompt=2)
        assert torch.allclose(own, batch[2 * i : 2 * i + 2], atol=ROUNDING)


def test_two_encoders_combine_prompts(xl: Any, draw: Draw) -> None:
    xl.attach("a1111")
    size = {"height": 16, "width": 16}
    plain = draw(xl, "a cat", **size)
    assert torch.allclose(draw(xl, "a cat:0.5 AND a cat:0.5", **size), plain, atol=ROUNDING)
    assert not torch.allclose(draw(xl, "a cat AND a dog", **size), plain, atol=0.01)


def test_a_prompt_changes_after_its_part_of_the_steps(sd: Any, draw: Draw) -> None:
    red, blue = (weighted_embeds(sd, f"a {color} star")[0] for color in ("red", "blue"))
    sd.scheduler = EulerDiscreteScheduler.from_config(sd.scheduler.config)

    def switch(pipe: Any, step: int, timestep: Any, tensors: Any) -> dict[str, Any]:
        negative = tensors["prompt_embeds"][:1]
        return {"prompt_embeds": torch.cat([negative, blue])} if step == 1 else {}

    expected = draw(
        sd,
        None,
        prompt_embeds=red,
        num_inference_steps=4,
        callback_on_step_end=switch,
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    )
    sd.attach("a1111")
    found = draw(sd, "a [red:blue:0.5] star", num_inference_steps=4)
    assert torch.equal(found, expected)
    assert torch.equal(
        draw(sd, "a [red:blue:4] star", num_inference_steps=4),
        draw(sd, "a red star", num_inference_steps=4),
    )


def test_steps_are_counted_in_image_to_image(sd: Any) -> None:
    pipe = AutoPipelineForImage2Image.from_pipe(sd)
    pipe.set_progress_bar_config(disable=True)
    pipe.attach("a1111")
    image = np.full((64, 64, 3), 0.5, dtype=np.float32)

    def drawn(prompt: str) -> np.ndarray:
        generator = torch.Generator().manual_seed(1)
        call = {"num_inference_steps": 8, "strength": 0.5, "output_type": "np"}
        return pipe(prompt, image=image, generator=generator, **call).images

    # Half of the 4 steps that the call runs is 2.
    assert np.array_equal(drawn("a [red:blue:0.5] star"), drawn("a [red:blue:2] star"))
    assert not np.array_equal(drawn("a [red:blue:0.5] star"), drawn("a [red:blue:4] star"))


def test_negative_prompts_change_too_but_have_no_parts(sd: Any, draw: Draw) -> None:
    sd.attach("a1111")
    changing = draw(sd, "a star", negative_prompt="[red:blue:1]")
    assert not torch.equal(changing, draw(sd, "a star", negative_prompt="red"))
    assert torch.equal(
        draw(sd, "a star", negative_prompt="[red:blue:9]"),
        draw(sd, "a star", negative_prompt="red"),
    )
    with pytest.raises(ArgumentError, match="AND in negative_prompt"):
        draw(sd, "a star", negative_prompt="red AND blue")


def test_and_needs_guidance(sd: Any, draw: Draw) -> None:
    sd.attach("a1111")
    with pytest.raises(ArgumentError, match="guidance_scale above 1"):
        draw(sd, "a star AND a circle", guidance_scale=1.0)


@pytest.mark.parametrize("prompt", ["a AND b", "[a:b:0.5]", "[a|b]"])
def test_embeddings_hold_neither(sd: Any, prompt: str) -> None:
    with pytest.raises(ArgumentError, match="during a call"):
        weighted_embeds(sd, prompt)
