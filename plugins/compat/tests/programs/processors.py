"""`VaeImageProcessor`, noise, and tools for state dicts."""

import sys

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor
from diffusers.utils import convert_state_dict_to_diffusers, numpy_to_pil
from diffusers.utils.outputs import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image

model_id, out = sys.argv[1:]
vae = AutoencoderKL.from_pretrained(model_id, subfolder="vae").eval()
processor = VaeImageProcessor(vae_scale_factor=4)
gradient = np.linspace(0, 255, 70 * 66 * 3).reshape(70, 66, 3).astype("uint8")
pixels = processor.preprocess(Image.fromarray(gradient), height=64, width=64)
with torch.no_grad():
    encoded = vae.encode(pixels)
assert isinstance(encoded, BaseOutput)
latents = encoded.latent_dist.sample(torch.manual_seed(17))
noise = randn_tensor((2, 4, 8, 8), generator=[torch.Generator().manual_seed(n) for n in (18, 19)])
with torch.no_grad():
    decoded = vae.decode(latents).sample
back = processor.postprocess(decoded, output_type="np")
assert numpy_to_pil(back)[0].size == (64, 64)
state = {
    "text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 4),
    "down_blocks.0.attn1.to_out.0.lora_B.weight": torch.ones(4, 2),
}
names = sorted(convert_state_dict_to_diffusers(state))
np.savez(out, pixels=pixels.numpy(), noise=noise.numpy(), back=back, names=names)
