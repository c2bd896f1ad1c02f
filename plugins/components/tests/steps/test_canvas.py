from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe.errors import ArgumentError
from autopipe_components.image_processor import VaeImageProcessor, mask_processor
from autopipe_components.steps.canvas import Canvas, prepare_canvas


def canvas(image, mask, **changes) -> Canvas:
    arguments = {
        "height": 16,
        "width": 16,
        "image_processor": VaeImageProcessor(),
        "mask_processor": mask_processor(8),
        **changes,
    }
    return prepare_canvas(image, mask, **arguments)


def every_byte() -> Image.Image:
    return Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).convert("RGB")


def left_half() -> Image.Image:
    mask = Image.new("L", (16, 16))
    mask.paste(255, (0, 0, 8, 16))
    return mask


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_pasted_pixels_are_the_bytes_of_the_original(dtype):
    made = canvas(every_byte(), left_half())
    decoded = torch.rand(2, 3, 16, 16).to(dtype) * 2 - 1
    found = made.paste_unmasked(decoded)
    assert torch.equal(found[..., :8], decoded.float()[..., :8])
    for image in VaeImageProcessor().postprocess(found):
        kept = image.crop((8, 0, 16, 16))
        assert kept.tobytes() == every_byte().crop((8, 0, 16, 16)).tobytes()


def test_latents_cannot_be_pasted():
    made = canvas(torch.rand(1, 4, 4, 4), left_half())
    with pytest.raises(ArgumentError, match="as pixels"):
        made.paste_unmasked(torch.rand(1, 3, 16, 16))


def test_a_region_is_enlarged_and_put_back():
    original = Image.new("RGB", (64, 48), "green")
    mask = Image.new("L", original.size)
    mask.paste(255, (20, 10, 26, 18))
    made = canvas(original, mask, padding_mask_crop=1)
    left, top, right, bottom = made.crop
    assert right - left == bottom - top == 10
    assert made.mask.mean() > 0.4
    (found,) = made.put_back([Image.new("RGB", (16, 16), "red")])
    red = (np.asarray(found) == (255, 0, 0)).all(axis=-1)
    assert np.array_equal(red, np.asarray(mask) == 255)
    assert (np.asarray(found)[~red] == (0, 128, 0)).all()


def test_a_mask_of_another_size_is_brought_to_that_of_the_image():
    original = Image.new("RGB", (64, 48), "green")
    mask = Image.new("L", (32, 24))
    mask.paste(255, (10, 5, 13, 9))
    made = canvas(original, mask, padding_mask_crop=0)
    left, top, right, bottom = made.crop
    assert left <= 20 < 26 <= right
    assert top <= 10 < 18 <= bottom
    (found,) = made.put_back([Image.new("RGB", (16, 16), "red")])
    assert found.size == original.size
    assert found.getpixel((23, 14)) == (255, 0, 0)
    assert found.getpixel((2, 2)) == (0, 128, 0)


def test_the_whole_image_needs_no_putting_back():
    images = [every_byte()]
    assert canvas(every_byte(), left_half()).put_back(images) is images


def test_nothing_to_crop_to():
    with pytest.raises(ArgumentError, match="black"):
        canvas(every_byte(), Image.new("L", (16, 16)), padding_mask_crop=4)
