"""Write a finished run as a checkpoint folder in float16, ready for the wheel.

python -m demo.export --run runs/demo --to src/autopipe_stable_diffusion/demo
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from autopipe_components.schedulers.euler_ancestral_discrete import EulerAncestralDiscreteScheduler

from .models import NOISE, TEXT_LENGTH, build_text_encoder, build_unet, build_vae
from .tokenizer import END, START, write_tokenizer
from .train import averaged

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "EulerAncestralDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "CLIPTokenizer",
    "bos_token": START,
    "eos_token": END,
    "pad_token": END,
    "unk_token": END,
    "model_max_length": TEXT_LENGTH,
    "do_lower_case": True,
}


def export(run: Path, folder: Path) -> None:
    """Write the averaged weights of all stages of `run` and all configs to `folder`."""
    tokenizer = write_tokenizer(folder / "tokenizer")
    (folder / "tokenizer" / "tokenizer_config.json").write_text(
        json.dumps(TOKENIZER_CONFIG, indent=2) + "\n", "utf-8"
    )
    vae, unet, text_encoder = build_vae(), build_unet(), build_text_encoder(tokenizer)
    averaged(run / "decoder.pt", {"vae": vae})
    averaged(run / "diffusion.pt", {"text_encoder": text_encoder, "unet": unet})
    scale = torch.load(run / "scale.pt", weights_only=True)
    vae.register_to_config(scaling_factor=round(scale, 5))
    for name, network in (("vae", vae), ("unet", unet), ("text_encoder", text_encoder)):
        network.half().save_pretrained(folder / name)
    # Fresh noise at each step mends what an earlier one drew wrongly. "trailing" starts from pure
    # noise, as in training, however few the steps are.
    scheduler = EulerAncestralDiscreteScheduler(**NOISE, timestep_spacing="trailing")
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(INDEX, indent=2) + "\n", "utf-8")
    for file in folder.rglob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes for the owner's eyes alone


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="the trained run")
    parser.add_argument("--to", type=Path, required=True, help="the checkpoint folder")
    options = parser.parse_args()
    export(options.run, options.to)
    size = sum(file.stat().st_size for file in options.to.rglob("*") if file.is_file())
    print(f"{options.to}: {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
