"""A LoRA trained with peft, saved and loaded, as training scripts do it."""

import sys
import tempfile

import numpy as np
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import cast_training_params
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

model_id, out = sys.argv[1:]
unet = UNet2DConditionModel.from_pretrained(model_id, subfolder="unet")
scheduler = DDPMScheduler.from_pretrained(model_id, subfolder="scheduler")
unet.requires_grad_(False)
torch.manual_seed(0)
unet.add_adapter(
    LoraConfig(
        r=4,
        lora_alpha=4,
        init_lora_weights="gaussian",
        target_modules=["to_k", "to_q", "to_v", "to_out.0"],
    )
)
draws = torch.Generator().manual_seed(23)
for name, parameter in sorted(unet.named_parameters()):
    if parameter.requires_grad:
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=draws)
cast_training_params(unet, dtype=torch.float32)
trained = [one for one in unet.parameters() if one.requires_grad]
assert 0 < sum(one.numel() for one in trained) < sum(one.numel() for one in unet.parameters()) / 4
optimizer = torch.optim.SGD(trained, lr=1e-2)
losses = []
for _ in range(2):
    latents = torch.randn(1, 4, 16, 16, generator=draws)
    noise = torch.randn(latents.shape, generator=draws)
    steps = torch.randint(0, 1000, (1,), generator=draws)
    states = torch.randn(1, 77, unet.config.cross_attention_dim, generator=draws)
    predicted = unet(scheduler.add_noise(latents, noise, steps), steps, states).sample
    loss = torch.nn.functional.mse_loss(predicted, noise)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())

folder = tempfile.mkdtemp()
state = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
StableDiffusionPipeline.save_lora_weights(
    save_directory=folder, unet_lora_layers=state, safe_serialization=True
)
pipe = StableDiffusionPipeline.from_pretrained(model_id, safety_checker=None)
pipe.set_progress_bar_config(disable=True)
pipe.load_lora_weights(folder)
images = pipe(
    "a red circle", num_inference_steps=3, generator=torch.manual_seed(24), output_type="np"
).images
np.savez(out, losses=np.array(losses), images=images, names=sorted(state))
