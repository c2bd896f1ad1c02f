"""Image to image with `components`, and inpainting with a mask."""

import sys

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline
from diffusers.utils import load_image, make_image_grid
from PIL import Image, ImageDraw

model_id, out = sys.argv[1:]
picture = Image.new("RGB", (64, 64), "white")
ImageDraw.Draw(picture).ellipse((16, 16, 48, 48), fill="red")
mask = Image.new("L", (64, 64), 0)
ImageDraw.Draw(mask).rectangle((0, 0, 32, 64), fill=255)

pipe = StableDiffusionImg2ImgPipeline.from_pretrained(
    model_id, safety_checker=None, requires_safety_checker=False
)
pipe.set_progress_bar_config(disable=True)
drawn = pipe(
    prompt="a blue circle",
    image=load_image(picture),
    strength=0.75,
    guidance_scale=5.0,
    num_inference_steps=8,
    generator=torch.manual_seed(3),
    output_type="np",
).images
painter = StableDiffusionInpaintPipeline(**pipe.components, requires_safety_checker=False)
painted = painter(
    prompt="a green square",
    image=picture,
    mask_image=mask,
    num_inference_steps=6,
    strength=1.0,
    generator=torch.manual_seed(4),
    output_type="np",
).images
grid = make_image_grid([picture, picture], rows=1, cols=2)
np.savez(out, drawn=drawn, painted=painted, grid=np.asarray(grid))
