"""Text to image draws what it is told."""

import numpy as np
import pytest
import torch
from autopipe import AutoPipelineForText2Image

from autopipe_doodle import DoodlePipeline

COLOURS = {"red": (1, 0, 0), "blue": (0, 0, 1), "yellow": (1, 1, 0)}


@pytest.mark.parametrize("colour", COLOURS)
def test_the_shape_is_of_the_colour_that_the_prompt_says(colour: str) -> None:
    pipe = AutoPipelineForText2Image.from_pretrained("demo:doodle")
    assert isinstance(pipe, DoodlePipeline)
    seed = torch.Generator().manual_seed(0)
    image = pipe(f"a {colour} circle", generator=seed, output_type="np").images[0]
    middle, corner = image[7:9, 7:9].mean((0, 1)), image[0, 0]
    assert np.abs(middle - COLOURS[colour]).max() < 0.4
    assert corner.min() > 0.6
