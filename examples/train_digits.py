"""Trains a diffusion model from nothing: handwritten digits, a minute on one processor core.

    pip install scikit-learn
    python train_digits.py --to digits
    autopipe generate --model digits --class-labels 7 -o seven.png

The pictures are those that scikit-learn ships: 1,797 digits of 8 by 8 pixels. The network learns to
tell the noise in a picture that was mixed with noise (Ho et al. 2020, arXiv:2006.11239), and is
told which digit the picture shows. The result is a folder for `DiffusionPipeline.from_pretrained`
here and in diffusers, and `digits.png` in it, with some digits that it drew.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from autopipe import DDIMPipeline, DDIMScheduler, UNet2DModel
from autopipe.utils import make_image_grid

SIDE, DIGITS = 8, 10


def read_digits() -> tuple[Tensor, Tensor]:
    """Return the pictures (N, 1, 8, 8) in [-1, 1], and which digits they show, (N,)."""
    from sklearn.datasets import load_digits  # type: ignore

    found = load_digits()
    pictures = torch.tensor(found.images, dtype=torch.float32)[:, None] / 8 - 1
    return pictures, torch.tensor(found.target)


def make_network() -> UNet2DModel:
    """Return a U-Net for pictures of 8 by 8 pixels, with random weights."""
    return UNet2DModel(
        sample_size=SIDE,
        in_channels=1,
        out_channels=1,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=32,
        num_class_embeds=DIGITS,
    )


def train(options: argparse.Namespace) -> DDIMPipeline:
    """Train a network on the digits, and return a pipeline with it."""
    torch.manual_seed(options.seed)
    pictures, digits = read_digits()
    unet = make_network().train()
    scheduler = DDIMScheduler(beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing")
    optimizer = torch.optim.AdamW(unet.parameters(), lr=options.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.rate, options.steps)
    began, recent = time.monotonic(), []
    for step in range(1, options.steps + 1):
        chosen = torch.randint(len(pictures), (options.batch,))
        noise = torch.randn(options.batch, 1, SIDE, SIDE)
        timesteps = torch.randint(len(scheduler), (options.batch,))
        noisy = scheduler.add_noise(pictures[chosen], noise, timesteps)
        predicted = unet(noisy, timesteps, digits[chosen]).sample
        loss = F.mse_loss(predicted, noise)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has not typed it.
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % options.log_every == 0 or step == options.steps:
            pace = (time.monotonic() - began) / step
            mean = sum(recent) / len(recent)
            print(f"step {step} of {options.steps}  loss {mean:.4f}  {pace:.2f} s/step", flush=True)
            recent.clear()
    return DDIMPipeline(unet.eval(), scheduler)


def main(arguments: list[str] | None = None) -> int:
    """Train, save the pipeline, and draw each digit four times."""
    parser = argparse.ArgumentParser(
        description="Trains a diffusion model on handwritten digits.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--to", type=Path, required=True, help="the folder for the result")
    add("--steps", type=int, default=600, help="steps of the optimizer")
    add("--batch", type=int, default=64, help="pictures in a step")
    add("--rate", type=float, default=4e-3, help="the highest learning rate")
    add("--seed", type=int, default=0, help="of all random numbers")
    add("--log-every", type=int, default=50, metavar="STEPS")
    options = parser.parse_args(arguments)
    pipe = train(options)
    pipe.save_pretrained(options.to)
    drawn = pipe(
        class_labels=[digit for digit in range(DIGITS) for _ in range(4)],
        num_inference_steps=25,
        generator=torch.Generator().manual_seed(options.seed),
    ).images
    sheet = make_image_grid(drawn, rows=DIGITS, cols=4, resize=6 * SIDE)
    sheet.save(options.to / "digits.png")
    print(f"wrote {options.to}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
