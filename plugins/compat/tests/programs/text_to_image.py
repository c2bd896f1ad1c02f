"""Text to image, then another scheduler."""

import sys

import numpy as np
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    StableDiffusionPipeline,
)
from diffusers.utils import logging

logging.set_verbosity_error()
model_id, out = sys.argv[1:]
device = "cuda" if torch.cuda.is_available() else "cpu"

pipe = StableDiffusionPipeline.from_pretrained(model_id, torch_dtype=torch.float32)
pipe.scheduler = DPMSolverMultistepScheduler.from_config(
    pipe.scheduler.config, use_karras_sigmas=True
)
pipe = pipe.to(device)
pipe.enable_attention_slicing()
generator = torch.Generator(device).manual_seed(0)
first = pipe(
    "a red circle on a white background",
    negative_prompt="a blue square",
    num_inference_steps=6,
    guidance_scale=7.0,
    generator=generator,
    output_type="np",
).images

pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
second = pipe(
    ["a red circle", "a green square"],
    num_inference_steps=4,
    generator=[torch.Generator(device).manual_seed(seed) for seed in (1, 2)],
    output_type="np",
).images
np.savez(out, first=first, second=second)
