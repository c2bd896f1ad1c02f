"""Checkpoints with ControlNets, saved by one library and opened by the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import autopipe

from ..conftest import SDXL, installed, picture

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("family", ["stable_diffusion", "sdxl"])
def test_folders(
    build: Any,
    reference: Any,
    controlnets: Any,
    prompt: Any,
    record: Callable[..., float],
    tmp_path: Path,
    family: str,
    count: int,
) -> None:
    import diffusers

    if not installed(family):
        pytest.skip(f"the family {family} is not installed")
    xl = family == "sdxl"
    name = f"StableDiffusion{'XL' if xl else ''}ControlNetPipeline"
    cls = getattr(autopipe, name)
    nets = [controlnets(seed=n, **(SDXL if xl else {})) for n in range(2, 2 + count)]
    ours = build(cls, controlnet=nets if count > 1 else nets[0])
    absent = {} if xl else {"text_encoder": None, "tokenizer": None}
    absent |= {"add_watermarker": False} if xl else {}

    ours.save_pretrained(tmp_path / "ours")
    theirs = getattr(diffusers, name).from_pretrained(tmp_path / "ours", **absent)
    theirs.save_pretrained(tmp_path / "theirs")
    back = cls.from_pretrained(tmp_path / "theirs", **absent)

    images = [picture(n) for n in range(count)]
    call = {
        **prompt(cls),
        "image": images if count > 1 else images[0],
        "num_inference_steps": 2,
        "output_type": "np",
    }
    drawn = []
    for pipe in (ours, theirs, back):
        pipe.set_progress_bar_config(disable=True)
        drawn.append(pipe(**call, generator=torch.Generator().manual_seed(0)).images)
    assert record("folders", drawn[0], drawn[1]) < 1e-4
    assert (drawn[0] == drawn[2]).all()
