"""Fine-tuning of the U-Net: accelerate, min-SNR, an average of the weights, a learning rate."""

import math
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.logging import get_logger
from accelerate.utils import set_seed
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel, cast_training_params, compute_snr
from diffusers.utils import check_min_version, is_wandb_available
from diffusers.utils.import_utils import is_xformers_available
from diffusers.utils.torch_utils import is_compiled_module
from PIL import Image, ImageDraw
from transformers import CLIPTextModel, CLIPTokenizer

check_min_version("0.40.0.dev0")
logger = get_logger(__name__, log_level="INFO")
model_id, out = sys.argv[1:]
assert not is_wandb_available() and not is_xformers_available()

accelerator = Accelerator(gradient_accumulation_steps=1, cpu=True)
set_seed(0)
noise_scheduler = DDPMScheduler.from_pretrained(model_id, subfolder="scheduler")
tokenizer = CLIPTokenizer.from_pretrained(model_id, subfolder="tokenizer")
text_encoder = CLIPTextModel.from_pretrained(model_id, subfolder="text_encoder")
vae = AutoencoderKL.from_pretrained(model_id, subfolder="vae")
unet = UNet2DConditionModel.from_pretrained(model_id, subfolder="unet")
vae.requires_grad_(False)
text_encoder.requires_grad_(False)
unet.train()
unet.enable_gradient_checkpointing()
cast_training_params(unet, dtype=torch.float32)

ema_unet = UNet2DConditionModel.from_pretrained(model_id, subfolder="unet")
ema_unet = EMAModel(
    ema_unet.parameters(), model_cls=UNet2DConditionModel, model_config=ema_unet.config
)
optimizer = torch.optim.SGD(unet.parameters(), lr=1e-2)
lr_scheduler = get_scheduler(
    "cosine", optimizer=optimizer, num_warmup_steps=1, num_training_steps=4
)
unet, optimizer, lr_scheduler = accelerator.prepare(unet, optimizer, lr_scheduler)
ema_unet.to(accelerator.device)


def unwrap_model(model):
    model = accelerator.unwrap_model(model)
    return model._orig_mod if is_compiled_module(model) else model


picture = Image.new("RGB", (64, 64), "white")
ImageDraw.Draw(picture).polygon([(32, 8), (56, 56), (8, 56)], fill="orange")
pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1
ids = tokenizer(
    ["an orange sks"], padding="max_length", max_length=tokenizer.model_max_length,
    truncation=True, return_tensors="pt",
).input_ids  # fmt: skip
draws = torch.Generator().manual_seed(1)
losses, rates, snr_gamma = [], [], 5.0
for step in range(3):
    with accelerator.accumulate(unet):
        latents = vae.encode(pixels).latent_dist.sample(draws) * vae.config.scaling_factor
        noise = torch.randn(latents.shape, generator=draws)
        timesteps = torch.randint(
            0, noise_scheduler.config.num_train_timesteps, (1,), generator=draws
        ).long()
        noisy = noise_scheduler.add_noise(latents, noise, timesteps)
        states = text_encoder(ids, return_dict=False)[0]
        if noise_scheduler.config.prediction_type == "epsilon":
            target = noise
        else:
            target = noise_scheduler.get_velocity(latents, noise, timesteps)
        predicted = unet(noisy, timesteps, states, return_dict=False)[0]
        snr = compute_snr(noise_scheduler, timesteps)
        weights = torch.stack([snr, snr_gamma * torch.ones_like(timesteps)], dim=1).min(dim=1)[0]
        weights = weights / (
            snr if noise_scheduler.config.prediction_type == "epsilon" else snr + 1
        )
        loss = F.mse_loss(predicted.float(), target.float(), reduction="none")
        loss = (loss.mean(dim=list(range(1, len(loss.shape)))) * weights).mean()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        lr_scheduler.step()
        optimizer.zero_grad()
    if accelerator.sync_gradients:
        ema_unet.step(unet.parameters())
    losses.append(loss.item())
    rates.append(lr_scheduler.get_last_lr()[0])
assert math.isfinite(sum(losses))

unet = unwrap_model(unet)
ema_unet.store(unet.parameters())
ema_unet.copy_to(unet.parameters())
folder = tempfile.mkdtemp()
pipe = StableDiffusionPipeline.from_pretrained(
    model_id, text_encoder=text_encoder, vae=vae, unet=unet, safety_checker=None
)
pipe.save_pretrained(folder)
ema_unet.save_pretrained(f"{folder}/unet_ema")
ema_unet.restore(unet.parameters())
loaded = EMAModel.from_pretrained(f"{folder}/unet_ema", UNet2DConditionModel)
assert loaded.optimization_step == 3
pipe = StableDiffusionPipeline.from_pretrained(folder)
pipe.set_progress_bar_config(disable=True)
images = pipe(
    "an orange sks", num_inference_steps=3, generator=torch.manual_seed(2), output_type="np"
).images
np.savez(
    out, losses=np.array(losses), rates=np.array(rates), images=images,
    weight=next(iter(unet.parameters())).detach().numpy(),
)  # fmt: skip
