"""Train the demo ControlNet: outlines of shapes, for the demo checkpoint of Stable Diffusion.

    python -m demo.train --run runs/controlnet

The checkpoint's own networks stay as they are. The state is written to the run folder every few
minutes; a run that is started again goes on from it, with the same random numbers.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from stable_diffusion_demo.shapes import Scene, draw_outline, random_caption
from stable_diffusion_demo.train import (
    Plan,
    Pool,
    Trainer,
    as_tensor,
    channels_last,
    denoising_lesson,
    encode_pool,
    guided,
    layout_lesson,
)
from torch import Tensor

from autopipe import DiffusionPipeline
from autopipe_controlnet.controlnet import ControlNetModel

MODEL = "demo:stable_diffusion"
PLAN = Plan(steps=5000, batch=16, rate=3e-3, warmup=50, average=0.995)
POOL = 6000
EMBEDDING = (16, 32, 64)
"""Widths of the embedding of outlines: it halves twice, as the demo's autoencoder does."""
CAPTION_DROPOUT = 0.2
PLAIN_CAPTIONS = 0.8
"""How often a caption says no more than colour, shape and, mostly, background."""
EDGE_WEIGHT = 2.0
"""How much more the latents beside the outline count: it is there that shapes differ."""
LAYOUTS = 0.5
"""How much of a batch, at first, has no picture under the noise: see `layout_lesson`."""


def as_pictures(scenes: list[Scene]) -> Tensor:
    """Outlines of scenes, float32 of shape (n, 3, 64, 64) in [0, 1], as pipelines prepare them."""
    return as_tensor([draw_outline(scene) for scene in scenes]) / 2 + 0.5


def plain_caption(scene: Scene, *, background: bool = True) -> str:
    """What the outline can't say: the colours. Size and place are the outline's affair."""
    ground = f" on a {scene.background} background" if background else ""
    return f"a {scene.colour} {scene.shape}{ground}"


def describe(scene: Scene, rng: random.Random) -> str:
    """A caption, none at all now and then, for a scene whose outline is given."""
    if rng.random() < CAPTION_DROPOUT:
        return ""
    if rng.random() < PLAIN_CAPTIONS:
        return plain_caption(scene, background=rng.random() < 0.6)
    return random_caption(scene, rng)


def edge_weights(outlines: Tensor, size: int) -> Tensor:
    """How much each cell (n, 1, `size`, `size`) of the latents counts: more beside the outline."""
    lines = F.adaptive_max_pool2d(outlines[:, :1], size)
    near = F.max_pool2d(lines, 3, stride=1, padding=1)
    return 1 + EDGE_WEIGHT * near


def losses(
    pipe: Any,
    network: Any,
    pool: Pool,
    trainer: Trainer,
    device: str,
    steer: Callable[..., Tensor] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """The error of the velocity that the steered U-Net predicts under guidance.

    `steer` is what `steered` is for another kind of `network` than a ControlNet.
    """
    plan, steer = trainer.plan, steer or steered
    scale = pipe.vae.config.scaling_factor
    while True:
        rng = random.Random(f"controlnet {plan.seed} {trainer.step}")
        dice = torch.Generator().manual_seed(rng.getrandbits(32))
        chosen = rng.sample(range(len(pool.scenes)), plan.batch)
        scenes = [pool.scenes[i] for i in chosen]
        outlines = as_pictures(scenes).to(device, memory_format=torch.channels_last)
        drawn = torch.randn(pool.mean[chosen].shape, generator=dice)
        latents = (pool.mean[chosen] + pool.std[chosen] * drawn) * scale
        layouts = round(plan.batch * LAYOUTS * (1 - trainer.step / plan.steps))
        lesson = layout_lesson(latents[:layouts], dice).joined(
            denoising_lesson(latents[layouts:], dice)
        )
        noised = lesson.inputs.to(device, memory_format=torch.channels_last)
        timesteps, wanted = lesson.timesteps.to(device), lesson.velocity.to(device)
        captions = [describe(one, rng) for one in scenes]
        velocity = steer(pipe, network, noised, timesteps, captions, outlines)
        with torch.no_grad():
            blank = [""] * plan.batch
            plain = steer(pipe, network, noised, timesteps, blank, outlines)
        error = (guided(velocity, plain, captions) - wanted).square()
        yield {"v": (error * edge_weights(outlines, error.shape[-1])).mean()}


def steered(
    pipe: Any,
    controlnet: ControlNetModel,
    noised: Tensor,
    timesteps: Tensor,
    captions: list[str],
    outlines: Tensor,
) -> Tensor:
    """What the U-Net predicts with the ControlNet's help."""
    with torch.no_grad():
        states, _ = pipe.encode_prompt(captions, noised.device, 1, False)
    down, mid = controlnet(noised, timesteps, states, outlines, return_dict=False)
    velocity: Tensor = pipe.unet(
        noised,
        timesteps,
        states,
        down_block_additional_residuals=down,
        mid_block_additional_residual=mid,
    ).sample
    return velocity


def train(run: Path, model: str, plan: Plan, pool_size: int, device: str) -> None:
    """Train a copy of the U-Net's encoder until the plan's last step."""
    pipe = DiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32).to(device)
    for network in (pipe.vae, pipe.unet, pipe.text_encoder):
        network.requires_grad_(False)
        channels_last(network)
    pool = encode_pool(pipe.vae, pool_size, plan.seed + 1, run / "pool.pt", device)
    torch.manual_seed(plan.seed)
    controlnet = ControlNetModel.from_unet(
        pipe.unet, conditioning_embedding_out_channels=EMBEDDING
    ).train()
    controlnet.requires_grad_(True)
    trainer = Trainer({"controlnet": controlnet}, plan, run / "controlnet.pt", device)
    trainer.run(losses(pipe, controlnet, pool, trainer, device))


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("runs/controlnet"), help="state folder")
    parser.add_argument("--model", default=MODEL, help="the checkpoint to steer")
    parser.add_argument("--steps", type=int, default=PLAN.steps, help="optimiser steps in all")
    parser.add_argument("--batch", type=int, default=PLAN.batch, help="pictures per step")
    parser.add_argument("--rate", type=float, default=PLAN.rate, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=PLAN.seed)
    parser.add_argument("--pool", type=int, default=POOL, help="scenes to train on")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    options = parser.parse_args()

    if options.threads:
        torch.set_num_threads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    plan = replace(
        PLAN, steps=options.steps, batch=options.batch, rate=options.rate, seed=options.seed
    )
    train(options.run, options.model, plan, options.pool, options.device)


if __name__ == "__main__":
    main()
