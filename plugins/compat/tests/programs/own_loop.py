"""A denoising loop of its own on `unet` and `vae`, as tutorials write it."""

import inspect
import sys

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from diffusers.utils import pt_to_pil
from tqdm.auto import tqdm
from transformers import CLIPTextModel, CLIPTokenizer

model_id, out = sys.argv[1:]
vae = AutoencoderKL.from_pretrained(model_id, subfolder="vae", use_safetensors=True)
unet = UNet2DConditionModel.from_pretrained(model_id, subfolder="unet")
tokenizer = CLIPTokenizer.from_pretrained(model_id, subfolder="tokenizer")
text_encoder = CLIPTextModel.from_pretrained(model_id, subfolder="text_encoder")
scheduler = DDIMScheduler.from_pretrained(model_id, subfolder="scheduler")
for network in (vae, unet, text_encoder):
    network.requires_grad_(False)


def encode(text):
    ids = tokenizer(
        text, padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt"
    ).input_ids
    return text_encoder(ids)[0]


prompt = ["a red circle"]
embeddings = torch.cat([encode([""]), encode(prompt)])
scheduler.set_timesteps(6)
latents = torch.randn(
    (1, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size),
    generator=torch.manual_seed(13),
)
latents = latents * scheduler.init_noise_sigma
assert "eta" in inspect.signature(scheduler.step).parameters
for t in tqdm(scheduler.timesteps, disable=True):
    inputs = scheduler.scale_model_input(torch.cat([latents] * 2), timestep=t)
    with torch.no_grad():
        output = unet(inputs, t, encoder_hidden_states=embeddings)
    assert isinstance(output, UNet2DConditionOutput)
    without, with_text = output.sample.chunk(2)
    latents = scheduler.step(without + 7.5 * (with_text - without), t, latents, eta=0.0).prev_sample
with torch.no_grad():
    image = vae.decode(latents / vae.config.scaling_factor).sample
    again = vae.encode(image).latent_dist.mode() * vae.config.scaling_factor
processor = VaeImageProcessor(vae_scale_factor=2 ** (len(vae.config.block_out_channels) - 1))
picture = processor.postprocess(image, output_type="np", do_denormalize=[True])
assert pt_to_pil(image)[0].size == (64, 64)
np.savez(out, picture=picture, again=again.numpy())
