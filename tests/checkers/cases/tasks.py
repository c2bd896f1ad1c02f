"""Calls of what Auto classes give."""

from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from typing_extensions import assert_type

from autopipe import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    DiffusionPipeline,
)

pipe = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
image = assert_type(pipe("a hut").images[0], Image)
pipe("a hut").images[0].save("hut.png")
pipe("a hut").images[0].sav("hut.png")  # flagged
pipe("a hut").image  # flagged
pipe(["a hut", "a house"], num_inference_steps=3, generator=torch.Generator(), clip_skip=1)
pipe("a hut", num_inference_steps="3")  # flagged
pipe("a hut", height=64, width="64")  # flagged
pipe(3)  # flagged
pipe("a hut", output_type="np").images.mean()
assert_type(pipe("a hut", output_type="pt").images, torch.Tensor)
images, flags = pipe("a hut", return_dict=False)
images[0].save("hut.png")

change = AutoPipelineForImage2Image.from_pipe(pipe)
change("a house", image=image, strength=0.5).images[0].save("house.png")
change("a house", image=pipe("a hut").images, strength=0.5)
change("a house", image="hut.png")  # flagged
change("a house", image=image, strength="half")  # flagged
repaint = AutoPipelineForInpainting.from_pipe(change, safety_checker=None)
repaint("a house", image=image, mask_image=np.zeros((64, 64)))
repaint("a house", image=image, mask_image=3)  # flagged

some = DiffusionPipeline.from_pretrained("demo:stable_diffusion").to("cpu")
assert_type(some, DiffusionPipeline)
some("a hut", anything=3).images[0].save("hut.png")
AutoPipelineForText2Image("demo:stable_diffusion", 1).to("cpu").from_pip  # flagged


def progress(run: DiffusionPipeline, step: int, time: torch.Tensor, tensors: Any) -> dict[str, Any]:
    """A step callback."""
    return {}


pipe("a hut", callback_on_step_end=progress)
pipe("a hut", callback_on_step_end=3)  # flagged
