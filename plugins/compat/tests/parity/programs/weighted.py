"""Weighted prompts of compel."""

import sys

import numpy as np
import torch
from compel import Compel
from diffusers import StableDiffusionPipeline

model_id, out = sys.argv[1:]
pipe = StableDiffusionPipeline.from_pretrained(model_id, safety_checker=None)
pipe.set_progress_bar_config(disable=True)
compel = Compel(tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder)
with torch.no_grad():
    embeds = compel("a red++ circle on a (white)0.6 background")
    blended = compel('("a red circle", "a blue square").blend(0.7, 0.3)')
images = pipe(
    prompt_embeds=embeds,
    num_inference_steps=4,
    generator=torch.manual_seed(22),
    output_type="np",
).images
np.savez(out, embeds=embeds.numpy(), blended=blended.numpy(), images=images)
