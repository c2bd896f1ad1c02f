"""Folders without an index are opened by what is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe import (
    AutoPipelineForInpainting,
    DiffusionPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from autopipe.cli import main
from autopipe.errors import CheckpointError
from autopipe_stable_diffusion.probe import recognise


@pytest.fixture
def bare(build: Callable[..., Any], folder: Path) -> Path:
    """A checkpoint whose index was lost."""
    build(StableDiffusionPipeline).save_pretrained(folder)
    (folder / "model_index.json").unlink()
    return folder


def test_a_folder_without_an_index_opens_with_the_same_weights(
    bare: Path, build: Callable[..., Any]
) -> None:
    expected = build(StableDiffusionPipeline)
    pipe = DiffusionPipeline.from_pretrained(bare)
    assert type(pipe) is StableDiffusionPipeline
    assert pipe.components.keys() == expected.components.keys()
    assert type(pipe.scheduler) is type(expected.scheduler)
    assert pipe.safety_checker is None
    for name in ("unet", "vae", "text_encoder"):
        state = getattr(pipe, name).state_dict()
        for key, tensor in getattr(expected, name).state_dict().items():
            assert torch.equal(state[key], tensor)
    assert type(AutoPipelineForInpainting.from_pretrained(bare)) is StableDiffusionInpaintPipeline


def test_the_command_line_tells_what_it_is(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resolve", str(bare)]) == 0
    assert "StableDiffusionPipeline" in capsys.readouterr().out
    assert main(["inspect", str(bare)]) == 0


def test_a_unet_of_nine_channels_is_for_inpainting() -> None:
    configs = {"unet": {"in_channels": 9, "cross_attention_dim": 768}, "vae": {}}
    found = recognise({}, configs)
    assert found is not None
    assert found["_class_name"] == "StableDiffusionInpaintPipeline"


@pytest.mark.parametrize(
    "configs",
    [
        {"unet": {"cross_attention_dim": 768}, "text_encoder_2": {}},
        {"unet": {"cross_attention_dim": 2048, "addition_embed_type": "text_time"}},
        {"unet": {"cross_attention_dim": 768, "_class_name": "UNet3DConditionModel"}},
        {"unet": {}},
    ],
)
def test_other_families_are_left_alone(configs: dict[str, Any]) -> None:
    assert recognise({}, configs) is None


def test_without_its_vae_it_is_nothing(bare: Path) -> None:
    (bare / "vae").rename(bare / "another")
    with pytest.raises(CheckpointError, match="no model_index"):
        DiffusionPipeline.from_pretrained(bare)
