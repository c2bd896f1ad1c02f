"""Train the demo upscaler: small pictures of shapes, made four times as large.

    python -m demo.train --run runs/upscale --to src/autopipe_upscale/demo

Autoencoder and text encoder are those of the demo checkpoint of Stable Diffusion, with whose U-Net
the training starts. The state is written to the run folder every few minutes; a run that is started
again goes on from it, with the same random numbers.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from stable_diffusion_demo.shapes import (
    SIZE,
    Scene,
    draw,
    random_caption,
    random_palette,
    random_scene,
)
from stable_diffusion_demo.train import (
    Plan,
    Pool,
    Trainer,
    as_tensor,
    averaged,
    channels_last,
    denoising_lesson,
)
from torch import Tensor

from autopipe import (
    AutoencoderKL,
    DDPMScheduler,
    DiffusionPipeline,
    StableDiffusionUpscalePipeline,
    UNet2DConditionModel,
)

from .saving import save
from .widened import widened

MODEL = "demo:stable_diffusion"
PLAN = Plan(steps=620, batch=12, rate=1e-3, warmup=30, average=0.98)
POOL = 2000
CAPTION_DROPOUT = 0.5
LEVELS = 351
"""The noise levels of the small picture: from 0 to 350, as published upscalers have."""
SCALING = 0.08333
"""What the pipeline scales latents by, whatever the config of the autoencoder says."""


def low_resolution() -> DDPMScheduler:
    """The scheduler that adds noise to small pictures."""
    return DDPMScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule="scaled_linear")


def reduced(picture: Image.Image) -> Image.Image:
    """A picture at a quarter of its width and height."""
    return picture.resize((SIZE // 4, SIZE // 4), Image.Resampling.BOX)


@torch.no_grad()
def make_pool(vae: Any, count: int, seed: int, path: Path) -> tuple[Pool, Tensor]:
    """Scenes with their latents, and their small pictures (n, 3, 16, 16) in [-1, 1]."""
    rng = random.Random(f"upscale {seed}")
    scenes: list[Scene] = [random_scene(rng, withheld=None) for _ in range(count)]
    if path.exists():
        mean, std, small = torch.load(path, weights_only=True)
        return Pool(scenes, mean, std), small
    means, stds, smalls = [], [], []
    for start in range(0, count, 100):
        pictures = [
            draw(one, colours=random_palette(rng, spread=20)) for one in scenes[start : start + 100]
        ]
        posterior = vae.encode(as_tensor(pictures)).latent_dist
        means.append(posterior.mean)
        stds.append(posterior.std)
        smalls.append(as_tensor([reduced(one) for one in pictures]))
    found = torch.cat(means), torch.cat(stds), torch.cat(smalls)
    torch.save(found, path)
    return Pool(scenes, *found[:2]), found[2]


def losses(pipe: Any, unet: Any, pool: Pool, small: Tensor, trainer: Trainer) -> Iterator[Any]:
    """The error of the velocity that the U-Net predicts beside small pictures with noise."""
    plan, scheduler = trainer.plan, low_resolution()
    scale = pipe.vae.config.scaling_factor
    while True:
        rng = random.Random(f"upscale {plan.seed} {trainer.step}")
        dice = torch.Generator().manual_seed(rng.getrandbits(32))
        chosen = rng.sample(range(len(pool.scenes)), plan.batch)
        drawn = torch.randn(pool.mean[chosen].shape, generator=dice)
        lesson = denoising_lesson((pool.mean[chosen] + pool.std[chosen] * drawn) * scale, dice)
        levels = (torch.rand(plan.batch, generator=dice) ** 3 * LEVELS).long()
        seen = small[chosen]
        noise = torch.randn(seen.shape, generator=dice)
        seen = scheduler.add_noise(seen, noise, levels)
        captions = [
            "" if rng.random() < CAPTION_DROPOUT else random_caption(pool.scenes[i], rng)
            for i in chosen
        ]
        with torch.no_grad():
            states, _ = pipe.encode_prompt(captions, "cpu", 1, False)
        inputs = torch.cat([lesson.inputs, seen], dim=1)
        velocity = unet(inputs, lesson.timesteps, states, class_labels=levels).sample
        yield {"v": F.mse_loss(velocity, lesson.velocity)}


def new_unet(pipe: Any) -> UNet2DConditionModel:
    """The U-Net before its training."""
    return widened(pipe.unet, 3, num_class_embeds=LEVELS)


@torch.no_grad()
def rescaled(vae: AutoencoderKL) -> AutoencoderKL:
    """Return `vae` with larger latents, so that `SCALING` gives them a deviation of one."""
    factor = vae.config.scaling_factor / SCALING
    mean = vae.config.latent_channels
    assert vae.quant_conv is not None
    assert vae.post_quant_conv is not None
    for tensor in (vae.quant_conv.weight, vae.quant_conv.bias):
        tensor[:mean] *= factor
    # The second half is the logarithm of the variance.
    vae.quant_conv.bias[mean:] += 2 * math.log(factor)
    vae.post_quant_conv.weight /= factor
    vae.register_to_config(scaling_factor=SCALING)
    return vae


def export(run: Path, folder: Path) -> None:
    """Write the averaged weights of `run` as a checkpoint in float16."""
    pipe: Any = DiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32)
    unet = new_unet(pipe)
    averaged(run / "unet.pt", {"unet": unet})
    made = StableDiffusionUpscalePipeline(
        vae=rescaled(pipe.vae),
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        unet=unet,
        low_res_scheduler=low_resolution(),
        scheduler=pipe.scheduler,
    )
    save(made, folder)


def main() -> None:
    """Read the command line, train, and write the checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("runs/upscale"), help="state folder")
    parser.add_argument("--to", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--steps", type=int, default=PLAN.steps, help="optimiser steps in all")
    options = parser.parse_args()

    options.run.mkdir(parents=True, exist_ok=True)
    plan = Plan(options.steps, PLAN.batch, PLAN.rate, PLAN.warmup, PLAN.average)
    pipe: Any = DiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32)
    for network in (pipe.vae, pipe.text_encoder):
        network.requires_grad_(False)
        channels_last(network)
    pool, small = make_pool(pipe.vae, POOL, plan.seed + 2, options.run / "pool.pt")
    torch.manual_seed(plan.seed)
    unet = new_unet(pipe).train().requires_grad_(True)
    trainer = Trainer({"unet": unet}, plan, options.run / "unet.pt", "cpu")
    trainer.run(losses(pipe, unet, pool, small, trainer))
    export(options.run, options.to)


if __name__ == "__main__":
    main()
