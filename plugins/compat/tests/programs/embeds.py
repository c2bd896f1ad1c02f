"""Prompts as embeddings: of `encode_prompt`, mixed, and of the text encoder itself."""

import sys

import numpy as np
import torch
from diffusers import PNDMScheduler, StableDiffusionPipeline

model_id, out = sys.argv[1:]
pipe = StableDiffusionPipeline.from_pretrained(model_id, safety_checker=None)
pipe.scheduler = PNDMScheduler.from_config(pipe.scheduler.config, skip_prk_steps=True)
pipe.set_progress_bar_config(disable=True)
with torch.no_grad():
    first, negative = pipe.encode_prompt(
        "a red circle", pipe.device, 1, True, negative_prompt="a square"
    )
tokens = pipe.tokenizer(
    "a blue square",
    padding="max_length",
    max_length=pipe.tokenizer.model_max_length,
    truncation=True,
    return_tensors="pt",
)
with torch.no_grad():
    second = pipe.text_encoder(tokens.input_ids.to(pipe.device))[0]
images = pipe(
    prompt_embeds=0.5 * first + 0.5 * second,
    negative_prompt_embeds=negative,
    num_inference_steps=5,
    generator=torch.manual_seed(12),
    output_type="np",
).images
np.savez(out, first=first.numpy(), second=second.numpy(), images=images)
