"""The adapter for the demo checkpoint: pictures decide what is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from autopipe import AutoPipelineForText2Image

COLOURS = {
    "red": (214, 38, 40),
    "yellow": (255, 226, 50),
    "green": (40, 160, 60),
    "blue": (36, 64, 212),
    "purple": (138, 48, 178),
    "pink": (255, 140, 200),
}


@pytest.fixture(scope="module")
def pipe() -> Any:
    made = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    made.set_progress_bar_config(disable=True)
    made.load_ip_adapter("demo:ip_adapter")
    return made


@pytest.mark.parametrize("name", COLOURS)
def test_what_is_drawn_has_the_colour_of_the_picture(name: str, pipe: Any) -> None:
    picture = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(picture).rectangle((18, 18, 46, 46), fill=COLOURS[name])
    drawn = pipe(
        "",
        ip_adapter_image=picture,
        num_inference_steps=10,
        generator=torch.Generator().manual_seed(1),
        output_type="np",
    ).images[0]
    middle = drawn[26:38, 26:38].reshape(-1, 3).mean(axis=0) * 255
    away = {one: np.abs(middle - rgb).sum() for one, rgb in COLOURS.items()}
    assert min(away, key=away.__getitem__) == name
