"""A ControlNet made from the U-Net, alone and twice."""

import sys

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    UniPCMultistepScheduler,
)
from diffusers.models.controlnets import MultiControlNetModel
from PIL import Image, ImageDraw

model_id, out = sys.argv[1:]
base = StableDiffusionPipeline.from_pretrained(model_id, safety_checker=None)
torch.manual_seed(0)
controlnet = ControlNetModel.from_unet(
    base.unet, conditioning_embedding_out_channels=(8, 16, 32)
).eval()
for parameter in controlnet.controlnet_mid_block.parameters():
    torch.nn.init.normal_(parameter, std=0.05)

edges = Image.new("RGB", (64, 64), "black")
ImageDraw.Draw(edges).rectangle((16, 16, 48, 48), outline="white")
pipe = StableDiffusionControlNetPipeline(
    **base.components, controlnet=controlnet, requires_safety_checker=False
)
pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config)
pipe.set_progress_bar_config(disable=True)
one = pipe(
    "a green square",
    image=edges,
    num_inference_steps=4,
    generator=torch.manual_seed(7),
    controlnet_conditioning_scale=0.8,
    output_type="np",
).images
pipe.controlnet = MultiControlNetModel([controlnet, controlnet])
two = pipe(
    "a green square",
    image=[edges, edges],
    num_inference_steps=4,
    generator=torch.manual_seed(7),
    controlnet_conditioning_scale=[0.5, 0.3],
    output_type="np",
).images
np.savez(out, one=one, two=two)
