"""Whatever the tasks of the family show to step callbacks, a callback may replace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.callbacks import assert_each_acts, replacing

from autopipe import DDIMScheduler, StableDiffusionPipeline
from autopipe.errors import ArgumentError, ArgumentTypeError

CALL: dict[str, Any] = {"height": 16, "width": 16, "num_inference_steps": 3, "output_type": "pt"}


def test_each_tensor_acts(build: Callable[..., Any], unets: Callable[..., Any], task: Any) -> None:
    sees_mask = "mask_image" in task.call
    pipe = build(task.kind, **({"unet": unets(in_channels=9)} if sees_mask else {}))
    assert_each_acts(pipe, {**task.call, "num_inference_steps": 3})


def draw(pipe: Any, prompt: Any = "a cat", **call: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    images: torch.Tensor = pipe(prompt, generator=generator, **{**CALL, **call}).images
    return images


def test_a_replaced_half_is_as_if_the_call_had_begun_with_it(build: Callable[..., Any]) -> None:
    pipe = build(StableDiffusionPipeline)
    other, _ = pipe.encode_prompt("a dog", None, 1, False)
    once = draw(pipe, **replacing("negative_prompt_embeds", lambda old: other))

    def both(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        whole = tensors["prompt_embeds"]
        return {"prompt_embeds": torch.cat([other, whole[1:]])} if step == 0 else {}

    names = ["prompt_embeds"]
    same = draw(pipe, callback_on_step_end=both, callback_on_step_end_tensor_inputs=names)
    assert torch.equal(once, same)


def test_what_a_callback_returns_unchanged_changes_nothing(build: Callable[..., Any]) -> None:
    """Programs return the dict that they were given, after a change of one entry."""
    pipe = build(StableDiffusionPipeline)
    names = list(StableDiffusionPipeline._callback_tensor_inputs)

    def first_half_off(run: Any, step: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 1:
            tensors["prompt_embeds"] = tensors["prompt_embeds"] * 2
        return tensors

    def guidance_off(run: Any, step: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 1:
            run._guidance_scale = 0.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[-1]
        return tensors

    for change in (first_half_off, guidance_off):
        asked = (["latents", "prompt_embeds"], names)
        few, all_of_them = (
            draw(pipe, callback_on_step_end=change, callback_on_step_end_tensor_inputs=one)
            for one in asked
        )
        assert torch.equal(few, all_of_them)
        assert not torch.equal(few, draw(pipe))


def test_fewer_or_larger_pictures_from_some_step_on(build: Callable[..., Any]) -> None:
    pipe = build(StableDiffusionPipeline, scheduler=DDIMScheduler())

    def keep_one(run: Any, step: int, t: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step:
            return {}
        rows = tensors["prompt_embeds"][[0, 2]]
        return {"latents": tensors["latents"][:1], "prompt_embeds": rows}

    names = ["latents", "prompt_embeds"]
    asked = {"callback_on_step_end": keep_one, "callback_on_step_end_tensor_inputs": names}
    assert draw(pipe, ["a", "a cat"], **asked).shape == (1, 3, 16, 16)
    larger = replacing("latents", lambda old: torch.zeros(1, 4, 12, 8, dtype=torch.float64))
    assert draw(pipe, **larger).shape == (1, 3, 24, 16)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("latents", lambda old: old.numpy(), ArgumentTypeError),
        ("latents", lambda old: None, ArgumentTypeError),
        ("latents", lambda old: old[:, :3], ArgumentError),
        ("latents", lambda old: old[0], ArgumentError),
        ("latents", lambda old: old.repeat(3, 1, 1, 1), ArgumentError),
        ("prompt_embeds", lambda old: old[:1], ArgumentError),
        ("prompt_embeds", lambda old: old[..., :3], ArgumentError),
        ("negative_prompt_embeds", lambda old: old[:, :3], ArgumentError),
        ("negative_prompt_embeds", lambda old: "a cat", ArgumentTypeError),
    ],
)
def test_values_that_no_step_can_use(
    build: Callable[..., Any], name: str, value: Any, error: Any
) -> None:
    pipe = build(StableDiffusionPipeline)
    with pytest.raises(error, match=r"callback_on_step_end|negative embeddings"):
        draw(pipe, **replacing(name, value))


def test_errors_of_the_callback_itself_pass(build: Callable[..., Any]) -> None:
    class Own(Exception):
        pass

    def fail(*step: Any) -> None:
        raise Own

    with pytest.raises(Own):
        draw(build(StableDiffusionPipeline), callback_on_step_end=fail)
