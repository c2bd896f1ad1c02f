"""A LoRA to measure with: of the size of real ones, for a checkpoint, with random weights."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

RANK = 16
ENDS = (
    *("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"),
    *("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
)
"""The layers that trainers change by default: 278 of SD 1.5, and 986 of SDXL."""

COMPONENTS = ("unet", "text_encoder", "text_encoder_2")


def lora_of(checkpoint: str) -> Path:
    """Return the LoRA beside the weights of a checkpoint, which is written if it is absent."""
    target = Path(checkpoint) / "lora.safetensors"
    if not target.is_file():
        made = torch.Generator().manual_seed(0)
        state = {}
        for key, (out, inputs, *kernel) in _shapes(Path(checkpoint)):
            down = torch.randn(RANK, inputs, *kernel, generator=made) / inputs**0.5
            up = torch.randn(out, RANK, *(1 for _ in kernel), generator=made) / 100
            state[f"{key}.lora_A.weight"] = down.half()
            state[f"{key}.lora_B.weight"] = up.half()
        part = target.with_suffix(f".{os.getpid()}")
        save_file(state, part)
        # Several processes may do this at once.
        part.replace(target)
    return target


def _shapes(checkpoint: Path) -> list[tuple[str, list[int]]]:
    """Return the name of each layer and the shape of its weight."""
    found = []
    for component in COMPONENTS:
        for file in sorted((checkpoint / component).glob("*.safetensors")):
            with safe_open(file, "pt") as weights:
                for name in weights.keys():  # noqa: SIM118  # It is not a dict.
                    path, _, kind = name.rpartition(".")
                    if kind == "weight" and path.endswith(ENDS):
                        found.append((f"{component}.{path}", weights.get_slice(name).get_shape()))
    return found
