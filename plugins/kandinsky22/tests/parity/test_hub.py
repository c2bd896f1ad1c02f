"""Networks of the real checkpoints, built without memory from their configs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import autopipe

HUB = Path(__file__).parents[5] / "shared" / "hub"


@pytest.mark.parametrize(
    "path",
    [
        "kandinsky-2-2-prior/prior",
        "kandinsky-2-2-decoder/unet",
        "kandinsky-2-2-decoder/movq",
        "kandinsky-2-2-decoder-inpaint/unet",
        "kandinsky-2-2-controlnet-depth/unet",
    ],
)
@pytest.mark.parity
def test_keys_and_shapes(path: str) -> None:
    diffusers = pytest.importorskip("diffusers")
    file = HUB / path / "config.json"
    if not file.is_file():
        pytest.skip(f"the metadata of real checkpoints is not in {HUB}")
    config = json.loads(file.read_text(encoding="utf-8"))
    shapes: list[Any] = []
    for library in (autopipe, diffusers):
        with torch.device("meta"):
            network = getattr(library, config["_class_name"]).from_config(config)
        shapes.append({name: tuple(one.shape) for name, one in network.state_dict().items()})
    assert shapes[0] == shapes[1]
