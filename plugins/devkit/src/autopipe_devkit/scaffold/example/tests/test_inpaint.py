"""Inpainting repaints what the mask marks, and nothing else."""

import numpy as np
from autopipe import AutoPipelineForInpainting
from PIL import Image


def test_pixels_outside_the_mask_stay_as_they_are() -> None:
    pipe = AutoPipelineForInpainting.from_pretrained("demo:doodle")
    start = Image.new("RGB", (16, 16), "green")
    mask = Image.new("L", (16, 16))
    mask.paste(255, (8, 0, 16, 16))
    image = np.asarray(pipe("a blue circle", start, mask).images[0])
    before = np.asarray(start)
    assert np.array_equal(image[:, :8], before[:, :8])
    assert not np.array_equal(image[:, 8:], before[:, 8:])
