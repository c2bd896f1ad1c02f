"""Write a trained run as a model folder in float16, ready for the wheel.

python -m demo.export --run runs/controlnet --to src/autopipe_controlnet/demo
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from stable_diffusion_demo.train import averaged

from autopipe import DiffusionPipeline
from autopipe_controlnet.controlnet import ControlNetModel

from .train import EMBEDDING, MODEL


def export(run: Path, model: str, folder: Path) -> None:
    """Write the averaged weights of `run`, which steers `model`, to `folder`."""
    pipe = DiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
    controlnet = ControlNetModel.from_unet(
        pipe.unet, conditioning_embedding_out_channels=EMBEDDING, load_weights_from_unet=False
    )
    averaged(run / "controlnet.pt", {"controlnet": controlnet})
    controlnet.to(torch.float16).save_pretrained(folder)


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("runs/controlnet"), help="the trained run")
    parser.add_argument("--model", default=MODEL, help="the checkpoint it steers")
    parser.add_argument("--to", type=Path, required=True, help="the model's folder")
    options = parser.parse_args()
    export(options.run, options.model, options.to)
    size = sum(file.stat().st_size for file in options.to.rglob("*") if file.is_file())
    print(f"{options.to}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
