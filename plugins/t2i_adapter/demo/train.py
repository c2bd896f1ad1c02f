"""Train the demo T2I-Adapter: outlines of shapes, for the demo checkpoint of Stable Diffusion.

    python -m demo.train --run runs/t2i_adapter --to src/autopipe_t2i_adapter/demo

The checkpoint's own networks stay as they are. The state is written to the run folder every few
minutes; a run that is started again goes on from it, with the same random numbers.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from controlnet_demo.train import MODEL, losses
from stable_diffusion_demo.train import Plan, Trainer, averaged, channels_last, encode_pool
from torch import Tensor

from autopipe import DiffusionPipeline
from autopipe_t2i_adapter.t2iadapter import T2IAdapter

PLAN = Plan(steps=2500, batch=16, rate=3e-3, warmup=50, average=0.99)
POOL = 3000


def new_adapter() -> T2IAdapter:
    """An untrained adapter for grey pictures that fits the demo's U-Net.

    That one adds features to its first block after halving, as that of SDXL does.
    """
    return T2IAdapter(
        in_channels=1,
        channels=(32, 64, 96),
        num_res_blocks=1,
        downscale_factor=8,
        adapter_type="full_adapter_xl",
    )


def steered(
    pipe: Any,
    adapter: T2IAdapter,
    noised: Tensor,
    timesteps: Tensor,
    captions: list[str],
    outlines: Tensor,
) -> Tensor:
    """What the U-Net predicts with the adapter's help."""
    with torch.no_grad():
        states, _ = pipe.encode_prompt(captions, noised.device, 1, False)
    features = adapter(outlines[:, :1])
    velocity: Tensor = pipe.unet(
        noised, timesteps, states, down_intrablock_additional_residuals=features
    ).sample
    return velocity


def train(run: Path, plan: Plan, device: str) -> None:
    """Train an adapter until the plan's last step."""
    pipe = DiffusionPipeline.from_pretrained(MODEL, torch_dtype=torch.float32).to(device)
    for network in (pipe.vae, pipe.unet, pipe.text_encoder):
        network.requires_grad_(False)
        channels_last(network)
    pool = encode_pool(pipe.vae, POOL, plan.seed + 1, run / "pool.pt", device)
    torch.manual_seed(plan.seed)
    adapter = new_adapter().train()
    trainer = Trainer({"adapter": adapter}, plan, run / "adapter.pt", device)
    trainer.run(losses(pipe, adapter, pool, trainer, device, steered))


def export(run: Path, folder: Path) -> None:
    """Write the averaged weights of `run` to `folder`, in float16."""
    adapter = new_adapter()
    averaged(run / "adapter.pt", {"adapter": adapter})
    adapter.to(torch.float16).save_pretrained(folder)


def main() -> None:
    """Read the command line, train, and write the adapter."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("runs/t2i_adapter"), help="state folder")
    parser.add_argument("--to", type=Path, required=True, help="the adapter's folder")
    parser.add_argument("--steps", type=int, default=PLAN.steps, help="optimiser steps in all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    options = parser.parse_args()

    if options.threads:
        torch.set_num_threads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    plan = Plan(options.steps, PLAN.batch, PLAN.rate, PLAN.warmup, PLAN.average)
    train(options.run, plan, options.device)
    export(options.run, options.to)


if __name__ == "__main__":
    main()
