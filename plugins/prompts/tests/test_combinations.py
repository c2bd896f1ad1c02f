"""Weighted prompts with conditions, tasks and other ways to guide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from autopipe import (
    Attachment,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    ControlNetModel,
)
from autopipe.errors import ArgumentError
from autopipe_components.steps.guidance import Contrast
from autopipe_prompts.embeds import weighted_embeds

PROMPTS = {"a1111": "a (red:1.5) [circle] (", "compel": "a (red)1.5 circle-- ("}
LONG = " and a blue star, " * 10

Draw = Callable[..., Tensor]


@pytest.mark.parametrize("grammar", PROMPTS)
@pytest.mark.parametrize("kind", ["controlnet", "inpainting"])
def test_tasks_and_conditions_draw_as_from_embeddings(
    sd: Any, draw: Draw, grammar: str, kind: str
) -> None:
    square = Image.new("RGB", (64, 64))
    square.paste((255, 255, 255), (16, 16, 48, 48))
    if kind == "controlnet":
        net = ControlNetModel.from_pretrained("demo:controlnet")
        pipe = AutoPipelineForText2Image.from_pipe(sd, controlnet=net)
        call = {"control_image": square}
    else:
        pipe = AutoPipelineForInpainting.from_pipe(sd)
        call = {"image": Image.new("RGB", (64, 64), "yellow"), "mask_image": square}
    prompt, negative = PROMPTS[grammar] + LONG, "a star"
    embeds, other = weighted_embeds(pipe, prompt, negative, grammar)
    expected = draw(pipe, None, prompt_embeds=embeds, negative_prompt_embeds=other, **call)
    pipe.attach(grammar)
    assert torch.equal(draw(pipe, prompt, negative_prompt=negative, **call), expected)
    plain = draw(pipe, prompt, negative_prompt=negative, **call, adapters={})
    assert not np.array_equal(plain, expected)


def test_combined_prompts_are_drawn_with_a_controlnet(sd: Any, draw: Draw) -> None:
    net = ControlNetModel.from_pretrained("demo:controlnet")
    pipe = AutoPipelineForText2Image.from_pipe(sd, controlnet=net)
    pipe.attach("a1111")
    call = {"control_image": Image.new("RGB", (64, 64))}
    plain = draw(pipe, "a red star", **call)
    both = draw(pipe, "a red star:0.5 AND a red star:0.5", **call)
    # Halves of guidance run in batches of other sizes.
    assert torch.allclose(both, plain, atol=1e-4)


def test_combined_prompts_refuse_a_contrast(sd: Any, draw: Draw) -> None:
    class Contrasting(Attachment):
        name = "contrasting"

        def predict(self, run: Any, tensors: Any, predict: Any, strength: Any) -> Any:
            run.contrast = Contrast()
            return predict

    sd.attach("a1111")
    sd.attach(Contrasting())
    with pytest.raises(ArgumentError, match="switch one of them off"):
        draw(sd, "a star AND a circle")


def test_offloaded_text_encoders_read_weights(sd: Any, draw: Draw) -> None:
    sd.attach("compel")
    expected = draw(sd, "a red++ circle--")
    sd.enable_sequential_cpu_offload(device="cpu")
    try:
        assert torch.equal(draw(sd, "a red++ circle--"), expected)
    finally:
        sd.remove_all_hooks()
