"""Image to image changes a picture by as much as it is told."""

import numpy as np
from autopipe import AutoPipelineForImage2Image
from PIL import Image


def test_strength_is_how_much_of_the_picture_may_change() -> None:
    pipe = AutoPipelineForImage2Image.from_pretrained("demo:doodle")
    start = Image.new("RGB", (16, 16), "white")
    same = pipe("a red square", start, strength=0.0).images[0]
    changed = pipe("a red square", start, strength=1.0).images[0]
    assert np.array_equal(np.asarray(same), np.asarray(start))
    red, green, blue = np.asarray(changed)[8, 8]
    assert red > 150
    assert max(green, blue) < 110
