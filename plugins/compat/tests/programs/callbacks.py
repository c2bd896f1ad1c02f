"""A callback that changes latents, one that turns guidance off, and one that stops."""

import sys

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

model_id, out = sys.argv[1:]
pipe = StableDiffusionPipeline.from_pretrained(model_id, safety_checker=None)
pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
seen = []


def shift(pipeline, step, timestep, callback_kwargs):
    seen.append(int(timestep))
    latents = callback_kwargs["latents"]
    if step == 2:
        latents = latents * 0.95
    return {"latents": latents}


def without_guidance(pipeline, step, timestep, callback_kwargs):
    if step == int(pipeline.num_timesteps * 0.5):
        callback_kwargs["prompt_embeds"] = callback_kwargs["prompt_embeds"].chunk(2)[-1]
        pipeline._guidance_scale = 0.0
    return callback_kwargs


def stop(pipeline, step, timestep, callback_kwargs):
    if step == 3:
        pipeline._interrupt = True
    return callback_kwargs


settings = {"prompt": "a red square", "num_inference_steps": 6, "output_type": "np"}
shifted = pipe(
    **settings,
    generator=torch.manual_seed(6),
    callback_on_step_end=shift,
    callback_on_step_end_tensor_inputs=["latents"],
).images
cut = pipe(
    **settings,
    generator=torch.manual_seed(6),
    callback_on_step_end=without_guidance,
    callback_on_step_end_tensor_inputs=["prompt_embeds"],
).images
stopped = pipe(**settings, generator=torch.manual_seed(6), callback_on_step_end=stop).images
np.savez(out, shifted=shifted, cut=cut, stopped=stopped, seen=np.array(seen))
