"""Checkpoints with a ControlNet: which task opens them with what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import autopipe
from autopipe import ControlNetModel
from autopipe.errors import ArgumentError

from .conftest import SDXL, installed

FAMILIES = {"stable_diffusion": "StableDiffusion", "sdxl": "StableDiffusionXL"}
TASKS = {"Text2Image": "", "Image2Image": "Img2Img", "Inpainting": "Inpaint"}


@pytest.fixture(params=FAMILIES)
def prefix(request: pytest.FixtureRequest) -> str:
    if not installed(request.param):
        pytest.skip(f"the family {request.param} is not installed")
    return FAMILIES[request.param]


@pytest.fixture
def absent(prefix: str) -> dict[str, Any]:
    """What the tests' checkpoints lack and a real one has."""
    return {} if "XL" in prefix else {"text_encoder": None, "tokenizer": None}


@pytest.fixture
def folder(build: Any, prefix: str, tmp_path: Path) -> Path:
    """A checkpoint that was saved with a ControlNet."""
    build(getattr(autopipe, f"{prefix}ControlNetPipeline")).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("task", TASKS)
def test_one_with_a_controlnet_opens_for_every_task(
    folder: Path, prefix: str, absent: dict[str, Any], controlnets: Any, task: str
) -> None:
    auto = getattr(autopipe, f"AutoPipelineFor{task}")
    pipe = auto.from_pretrained(folder, **absent)
    assert type(pipe).__name__ == f"{prefix}ControlNet{TASKS[task]}Pipeline"
    extra = SDXL if "XL" in prefix else {}
    stored = controlnets(**extra).state_dict()
    assert all(torch.equal(one, stored[n]) for n, one in pipe.controlnet.state_dict().items())

    other = controlnets(seed=4, **extra)
    assert auto.from_pretrained(folder, controlnet=other, **absent).controlnet is other

    plain = auto.from_pretrained(folder, controlnet=None, **absent)
    assert type(plain).__name__ == f"{prefix}{TASKS[task]}Pipeline"
    assert "controlnet" not in plain.components


@pytest.mark.parametrize("task", TASKS)
def test_one_without_takes_one(
    build: Any, prefix: str, absent: dict[str, Any], controlnets: Any, tmp_path: Path, task: str
) -> None:
    build(getattr(autopipe, f"{prefix}InpaintPipeline")).save_pretrained(tmp_path)
    auto = getattr(autopipe, f"AutoPipelineFor{task}")
    given = controlnets(**(SDXL if "XL" in prefix else {}))
    pipe = auto.from_pretrained(tmp_path, controlnet=[given], **absent)
    assert type(pipe).__name__ == f"{prefix}ControlNet{TASKS[task]}Pipeline"
    assert pipe.controlnet.parts == [given]
    with pytest.raises(ArgumentError, match="controlnet"):
        getattr(autopipe, type(pipe).__name__).from_pretrained(tmp_path, **absent)


def test_the_controlnet_alone_is_a_model(folder: Path) -> None:
    net = ControlNetModel.from_pretrained(folder, subfolder="controlnet")
    assert net.config["conditioning_embedding_out_channels"] == [4, 8]


def test_one_of_another_width_is_refused_when_it_is_opened(
    folder: Path, absent: dict[str, Any], controlnets: Any
) -> None:
    wrong = controlnets(cross_attention_dim=20)
    with pytest.raises(ArgumentError, match="20"):
        autopipe.AutoPipelineForText2Image.from_pretrained(folder, controlnet=wrong, **absent)
