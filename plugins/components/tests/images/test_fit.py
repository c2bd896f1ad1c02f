from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from autopipe_components.images.fit import resize_pil


@pytest.mark.parametrize(("height", "width"), [(20, 60), (60, 20)])
def test_filling_keeps_the_proportions_and_repeats_the_edge(height, width):
    # A ramp across the long side: stretched edges are constant in the margins.
    ramp = np.linspace(0, 255, 16, dtype=np.uint8)[:, None].repeat(16, 1)
    image = Image.fromarray(ramp if width > height else ramp.T).convert("RGB")
    found = np.asarray(resize_pil(image, height, width, mode="fill", resample="nearest"))
    middle = (max(height, width) - min(height, width)) // 2
    along = found if width > height else found.transpose(1, 0, 2)
    assert found.shape == (height, width, 3)
    assert (along[:, :middle] == along[:, [middle]]).all()
    assert (along[:, -middle:] == along[:, [-middle - 1]]).all()


def test_cropping_keeps_the_middle():
    image = Image.new("RGB", (30, 10), "red")
    image.paste("blue", (10, 0, 20, 10))
    found = resize_pil(image, 10, 10, mode="crop", resample="nearest")
    assert found.getcolors() == [(100, (0, 0, 255))]


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1)])
@pytest.mark.parametrize("mode", ["fill", "default"])
def test_pictures_one_pixel_wide(size, mode):
    found = resize_pil(Image.new("RGB", size, "red"), 16, 16, mode=mode)
    assert found.getcolors() == [(256, (255, 0, 0))]
