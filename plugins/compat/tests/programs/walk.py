"""A walk between two latents, written as an animation."""

import os
import sys
import tempfile

import numpy as np
import torch
from diffusers import LMSDiscreteScheduler, StableDiffusionPipeline
from diffusers.utils import export_to_gif, load_video

model_id, out = sys.argv[1:]
pipe = StableDiffusionPipeline.from_pretrained(model_id, safety_checker=None)
pipe.scheduler = LMSDiscreteScheduler.from_config(pipe.scheduler.config)
pipe.set_progress_bar_config(disable=True)
shape = (
    1,
    pipe.unet.config.in_channels,
    pipe.unet.config.sample_size,
    pipe.unet.config.sample_size,
)


def slerp(t, a, b):
    dot = (a / a.norm() * (b / b.norm())).sum().clamp(-1, 1)
    theta = torch.acos(dot)
    return (torch.sin((1 - t) * theta) * a + torch.sin(t * theta) * b) / torch.sin(theta)


start, end = (torch.randn(shape, generator=torch.manual_seed(seed)) for seed in (10, 11))
frames = [
    pipe("a red circle", latents=slerp(t, start, end), num_inference_steps=3).images[0]
    for t in (0.0, 0.5, 1.0)
]
path = os.path.join(tempfile.mkdtemp(), "walk.gif")
assert export_to_gif(frames, path, fps=5) == path
read, rate = load_video(path, return_fps=True)
assert len(read) == 3 and rate == 5
np.savez(out, frames=np.stack([np.asarray(one) for one in frames]) / 255.0)
