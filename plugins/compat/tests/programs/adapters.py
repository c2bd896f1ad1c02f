"""A LoRA and an embedding that the program writes, then several strengths of them."""

import os
import sys
import tempfile

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from diffusers.loaders import LoraLoaderMixin, TextualInversionLoaderMixin
from safetensors.torch import save_file

model_id, out = sys.argv[1:]
pipe = StableDiffusionPipeline.from_pretrained(model_id, safety_checker=None)
pipe.set_progress_bar_config(disable=True)
assert isinstance(pipe, TextualInversionLoaderMixin)
folder = tempfile.mkdtemp()
draws = torch.Generator().manual_seed(20)


def lora(rank):
    state = {}
    for name, module in pipe.unet.named_modules():
        if name.endswith(("to_q", "to_v")):
            state[f"unet.{name}.lora_A.weight"] = 0.2 * torch.randn(
                rank, module.in_features, generator=draws
            )
            state[f"unet.{name}.lora_B.weight"] = 0.2 * torch.randn(
                module.out_features, rank, generator=draws
            )
    return state


save_file(lora(4), os.path.join(folder, "ink.safetensors"))
save_file(lora(2), os.path.join(folder, "sketch.safetensors"))
width = pipe.text_encoder.config.hidden_size
save_file({"<thing>": torch.randn(2, width, generator=draws)}, f"{folder}/thing.safetensors")


def draw(prompt="a red circle", **given):
    return pipe(
        prompt, num_inference_steps=3, generator=torch.manual_seed(21), output_type="np", **given
    ).images


plain = draw()
pipe.load_lora_weights(folder, weight_name="ink.safetensors", adapter_name="ink")
ink = draw()
half = draw(cross_attention_kwargs={"scale": 0.5})
pipe.load_lora_weights(folder, weight_name="sketch.safetensors", adapter_name="sketch")
pipe.set_adapters(["ink", "sketch"], adapter_weights=[0.7, 0.3])
both = draw()
assert sorted(pipe.get_active_adapters()) == ["ink", "sketch"]
pipe.fuse_lora()
pipe.unload_lora_weights()
fused = draw()
pipe.load_textual_inversion(f"{folder}/thing.safetensors")
thing = draw("a <thing> circle")
assert np.abs(plain - ink).max() > 0.01 and np.abs(thing - fused).max() > 0.001
np.savez(out, plain=plain, ink=ink, half=half, both=both, fused=fused, thing=thing)
