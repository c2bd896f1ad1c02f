"""Train the demo checkpoint: coloured shapes on white, of the class that is asked for.

    python -m demo.train --run runs/unconditional --to src/autopipe_unconditional/demo

The state is written to the run folder now and then; a run that is started again goes on from it,
with the same random numbers.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_diffusion_demo.shapes import COLOURS, OUTLINES, Scene, draw
from torch import Tensor
from torch.nn import functional as F

from autopipe_components.networks.unet_2d import UNet2DModel
from autopipe_components.schedulers.ddim import DDIMScheduler
from autopipe_unconditional.ddim import DDIMPipeline

SIZE = 32
"""Width and height of a picture in pixels."""

BACKGROUND = "white"
CLASSES = tuple(OUTLINES)
"""The shapes, in the order of their numbers."""

UNET: dict[str, Any] = {
    "sample_size": SIZE,
    "block_out_channels": (16, 32, 64),
    "down_block_types": ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 32,
    "num_class_embeds": len(CLASSES),
}
NOISE: dict[str, Any] = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    # From pure noise, as in training, however few the steps are.
    "timestep_spacing": "trailing",
}
STEPS, BATCH, RATE, WARMUP, AVERAGE = 2000, 24, 2e-3, 50, 0.99
SAVE_EVERY = 50


def picture(rng: random.Random) -> tuple[np.ndarray, int]:
    """Return a picture (3, H, W) in [-1, 1], and its class."""
    kind = rng.randrange(len(CLASSES))
    colour = rng.choice([name for name in COLOURS if name != BACKGROUND])
    place = (32 + rng.uniform(-4, 4), 32 + rng.uniform(-4, 4))
    scene = Scene(CLASSES[kind], colour, BACKGROUND, place, rng.uniform(18, 22), "centre", "medium")
    pixels = np.asarray(draw(scene, size=SIZE), np.float32)
    return pixels.transpose(2, 0, 1) / 127.5 - 1, kind


def lesson(step: int, process: DDIMScheduler) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return noisy pictures, timesteps, classes, and the velocities to predict."""
    rng = random.Random(step)
    dice = torch.Generator().manual_seed(step)
    pairs = [picture(rng) for _ in range(BATCH)]
    pictures = torch.from_numpy(np.stack([pixels for pixels, _ in pairs]))
    noise = torch.randn(pictures.shape, generator=dice)
    # One timestep out of each of as many stretches: less variance than free draws.
    places = (torch.arange(BATCH) + torch.rand(BATCH, generator=dice)) / BATCH
    timesteps = (places * len(process)).long().clamp(max=len(process) - 1)
    noisy = process.add_noise(pictures, noise, timesteps)
    wanted = process.get_velocity(pictures, noise, timesteps)
    return noisy, timesteps, torch.tensor([kind for _, kind in pairs]), wanted


def rate_of(step: int, steps: int) -> float:
    """Return the share of the highest learning rate: a warm-up, then half a cosine."""
    return min((step + 1) / WARMUP, 0.5 + 0.5 * math.cos(math.pi * step / steps))


def train(run: Path, steps: int) -> UNet2DModel:
    """Train until the last step, and return the averaged network."""
    torch.manual_seed(0)
    unet, mean = UNet2DModel(**UNET), UNet2DModel(**UNET)
    mean.load_state_dict(unet.state_dict())
    unet.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=RATE, weight_decay=0.01)
    process, first, file = DDIMScheduler(**NOISE), 0, run / "state.pt"
    if file.exists():
        state = torch.load(file, weights_only=True)
        first = state["step"]
        for name, one in (("unet", unet), ("mean", mean), ("optimizer", optimizer)):
            one.load_state_dict(state[name])
    began, total = time.monotonic(), 0.0
    for step in range(first, steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate_of(step, steps)
        noisy, timesteps, kinds, wanted = lesson(step, process)
        noisy = noisy.to(memory_format=torch.channels_last)
        loss = F.mse_loss(unet(noisy, timesteps, kinds).sample, wanted)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        keep = min(AVERAGE, (step + 1) / (step + 10))
        with torch.no_grad():
            for ours, theirs in zip(mean.parameters(), unet.parameters()):
                ours.lerp_(theirs, 1 - keep)
        total += loss.item()
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            pace = (time.monotonic() - began) / (step + 1 - first)
            print(f"step {step + 1}  loss {total / SAVE_EVERY:.4f}  {pace:.2f} s", flush=True)
            total = 0.0
            objects = (("unet", unet), ("mean", mean), ("optimizer", optimizer))
            state = {name: one.state_dict() for name, one in objects}
            unfinished = file.with_suffix(".unfinished")
            torch.save({"step": step + 1, **state}, unfinished)
            unfinished.replace(file)
    return mean.eval()


def main() -> None:
    """Read the command line, train, and export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("runs/unconditional"))
    parser.add_argument("--to", type=Path, help="the checkpoint folder")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    unet = train(options.run, options.steps)
    if options.to is not None:
        DDIMPipeline(unet.half(), DDIMScheduler(**NOISE)).save_pretrained(options.to)
        for file in options.to.rglob("*.safetensors"):
            file.chmod(0o644)  # safetensors writes for the owner's eyes alone


if __name__ == "__main__":
    main()
