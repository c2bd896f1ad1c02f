"""Train the demo editor: pictures of shapes, changed by instructions such as "make it blue".

    python -m demo.train --run runs/edit --to src/autopipe_edit/demo

Autoencoder and text encoder are those of the demo checkpoint of Stable Diffusion, with whose U-Net
the training starts. The state is written to the run folder every few minutes; a run that is started
again goes on from it, with the same random numbers.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import upscale_demo  # noqa: F401  (opens `stable_diffusion_demo`)
from stable_diffusion_demo.shapes import draw
from stable_diffusion_demo.train import (
    Plan,
    Trainer,
    as_tensor,
    averaged,
    channels_last,
    denoising_lesson,
    guided,
)
from torch import Tensor
from upscale_demo.saving import save
from upscale_demo.widened import widened

from autopipe import (
    DiffusionPipeline,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)

from .lessons import Edit, random_edit

MODEL = "demo:stable_diffusion"
PLAN = Plan(steps=580, batch=8, rate=1.2e-3, warmup=20, average=0.98)
POOL = 1000
NO_INSTRUCTION = 0.12
"""How often there is no instruction, so that the picture stays as it is."""
NO_PICTURE = 0.08
"""How often there is no picture either: the network draws any."""


@dataclass(frozen=True)
class Pairs:
    """Edits with the latents of both pictures, each (n, 4, 16, 16)."""

    edits: list[Edit]
    before: Tensor
    mean: Tensor
    std: Tensor


@torch.no_grad()
def make_pairs(vae: Any, count: int, seed: int, path: Path) -> Pairs:
    """Draw and encode pictures before and after instructions."""
    rng = random.Random(f"edit {seed}")
    edits = [random_edit(rng) for _ in range(count)]
    if path.exists():
        return Pairs(edits, *torch.load(path, weights_only=True))
    rows: list[list[Tensor]] = []
    for start in range(0, count, 100):
        part = edits[start : start + 100]
        after = vae.encode(as_tensor([draw(one.after) for one in part])).latent_dist
        before = vae.encode(as_tensor([draw(one.before) for one in part])).latent_dist.mode()
        rows.append([before, after.mean, after.std])
    found = [torch.cat(column) for column in zip(*rows)]
    torch.save(found, path)
    return Pairs(edits, *found)


def losses(pipe: Any, unet: Any, pairs: Pairs, trainer: Trainer) -> Iterator[Any]:
    """The error of the velocity that the U-Net predicts under guidance by instructions."""
    plan, scale = trainer.plan, pipe.vae.config.scaling_factor
    with torch.no_grad():
        blank, _ = pipe.encode_prompt([""] * plan.batch, "cpu", 1, False)
    while True:
        rng = random.Random(f"edit {plan.seed} {trainer.step}")
        dice = torch.Generator().manual_seed(rng.getrandbits(32))
        chosen = rng.sample(range(len(pairs.edits)), plan.batch)
        kinds = [rng.random() for _ in chosen]
        plain = [kind < NO_INSTRUCTION + NO_PICTURE for kind in kinds]
        texts = ["" if one else pairs.edits[i].instruction for one, i in zip(plain, chosen)]
        before, keep = pairs.before[chosen], torch.tensor(plain).view(-1, 1, 1, 1)
        drawn = torch.randn(before.shape, generator=dice)
        after = torch.where(keep, before, pairs.mean[chosen] + pairs.std[chosen] * drawn)
        seen = before * (torch.tensor(kinds) >= NO_PICTURE).view(-1, 1, 1, 1)
        lesson = denoising_lesson(after * scale, dice)
        inputs = torch.cat([lesson.inputs, seen], dim=1)
        with torch.no_grad():
            states, _ = pipe.encode_prompt(texts, "cpu", 1, False)
            without = unet(inputs, lesson.timesteps, blank).sample
        velocity = unet(inputs, lesson.timesteps, states).sample
        yield {"v": F.mse_loss(guided(velocity, without, texts), lesson.velocity)}


def new_unet(pipe: Any) -> UNet2DConditionModel:
    """The U-Net before its training."""
    return widened(pipe.unet, 4)


def export(run: Path, folder: Path) -> None:
    """Write the averaged weights of `run` as a checkpoint in float16."""
    pipe: Any = DiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32)
    unet = new_unet(pipe)
    averaged(run / "unet.pt", {"unet": unet})
    components = {**pipe.components, "unet": unet}
    made = StableDiffusionInstructPix2PixPipeline(**components, requires_safety_checker=False)
    save(made, folder)


def main() -> None:
    """Read the command line, train, and write the checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("runs/edit"), help="state folder")
    parser.add_argument("--to", type=Path, required=True, help="the checkpoint's folder")
    parser.add_argument("--steps", type=int, default=PLAN.steps, help="optimiser steps in all")
    options = parser.parse_args()

    options.run.mkdir(parents=True, exist_ok=True)
    plan = Plan(options.steps, PLAN.batch, PLAN.rate, PLAN.warmup, PLAN.average)
    pipe: Any = DiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32)
    for network in (pipe.vae, pipe.text_encoder):
        network.requires_grad_(False)
        channels_last(network)
    pairs = make_pairs(pipe.vae, POOL, plan.seed + 3, options.run / "pool.pt")
    torch.manual_seed(plan.seed)
    unet = new_unet(pipe).train().requires_grad_(True)
    trainer = Trainer({"unet": unet}, plan, options.run / "unet.pt", "cpu")
    trainer.run(losses(pipe, unet, pairs, trainer))
    export(options.run, options.to)


if __name__ == "__main__":
    main()
