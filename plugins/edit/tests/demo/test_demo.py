"""How the demo editor is made, and that it does what it is told."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw

from autopipe import AutoPipelineForImageEditing, DiffusionPipeline


@pytest.fixture
def train() -> Any:
    """The training code."""
    from edit_demo import train

    return train


def test_what_is_shipped_is_what_is_trained(train: Any) -> None:
    pipe = DiffusionPipeline.from_pretrained("demo:stable_diffusion")
    new, shipped = train.new_unet(pipe), AutoPipelineForImageEditing.from_pretrained("demo:edit")
    shapes = [{n: one.shape for n, one in u.state_dict().items()} for u in (new, shipped.unet)]
    assert shapes[0] == shapes[1]


def test_an_edit_changes_what_it_names_and_nothing_else(train: Any) -> None:
    rng = Random(1)
    for edit in (train.random_edit(rng) for _ in range(20)):
        what = "background" if "background" in edit.instruction else "colour"
        changed = {n for n, one in vars(edit.before).items() if vars(edit.after)[n] != one}
        assert changed == {what}
        assert edit.instruction.endswith(getattr(edit.after, what))


def test_a_red_circle_becomes_blue_and_its_background_stays(seed: Any) -> None:
    before = Image.new("RGB", (64, 64), (246, 246, 246))
    ImageDraw.Draw(before).ellipse((18, 18, 46, 46), fill=(214, 38, 40))
    pipe = AutoPipelineForImageEditing.from_pretrained("demo:edit", torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    call = {"num_inference_steps": 10, "output_type": "pt", "generator": seed(1)}
    (image,) = pipe("make it blue", image=before, **call).images
    red, _, blue = image[:, 28:36, 28:36].mean(dim=(1, 2)).tolist()
    assert blue > red + 0.2
    assert image[:, :8, :8].min() > 0.7
