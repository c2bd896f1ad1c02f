"""Saving, loading and switching pipelines of base, refiner and inpainting checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    DiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)
from autopipe.errors import ArgumentError

AUTOS = {
    AutoPipelineForText2Image: StableDiffusionXLPipeline,
    AutoPipelineForImage2Image: StableDiffusionXLImg2ImgPipeline,
    AutoPipelineForInpainting: StableDiffusionXLInpaintPipeline,
}


@pytest.fixture(params=["base", "refiner", "inpainting"])
def stored(
    request: pytest.FixtureRequest,
    build: Callable[..., Any],
    refiner: dict[str, Any],
    unets: Callable[..., Any],
) -> Any:
    """The pipeline of each kind of checkpoint."""
    if request.param == "base":
        return build(StableDiffusionXLPipeline)
    if request.param == "refiner":
        return build(StableDiffusionXLImg2ImgPipeline, **refiner)
    return build(StableDiffusionXLInpaintPipeline, unet=unets(in_channels=9))


def test_a_saved_pipeline_draws_the_same(
    build: Callable[..., Any], task: Any, folder: Path
) -> None:
    pipe = build(task.kind)
    pipe.save_pretrained(folder)
    loaded = DiffusionPipeline.from_pretrained(folder)
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded) is task.kind
    assert loaded.index() == pipe.index()
    found, expected = (
        one("a cat", **task.call, generator=torch.Generator().manual_seed(0)).images
        for one in (loaded, pipe)
    )
    # Float32: weights mapped from a file are aligned otherwise, and summed in another order.
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("auto", AUTOS)
def test_every_checkpoint_opens_for_every_task(stored: Any, auto: Any, folder: Path) -> None:
    stored.save_pretrained(folder)
    loaded = auto.from_pretrained(folder)
    assert type(loaded) is AUTOS[auto]
    for name, component in stored.components.items():
        assert (loaded.components[name] is None) == (component is None)
    # A checkpoint's options last through views that don't declare them.
    back = type(stored).from_pipe(loaded)
    assert back.options == stored.options
    assert back.index() == stored.index()


@pytest.mark.parametrize("auto", AUTOS)
def test_pipelines_switch_between_tasks(stored: Any, auto: Any) -> None:
    view = auto.from_pipe(stored)
    assert type(view) is AUTOS[auto]
    assert view.unet is stored.unet
    again = AutoPipelineForInpainting.from_pipe(AutoPipelineForText2Image.from_pipe(view))
    scored = stored.options.get("requires_aesthetics_score", False)
    assert again.options["requires_aesthetics_score"] is scored


def test_a_refiner_has_no_first_text_encoder(stored: Any, folder: Path) -> None:
    stored.save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    lacks = stored.text_encoder is None
    assert (index["text_encoder"] == [None, None]) is lacks
    assert (folder / "text_encoder").exists() is not lacks


def test_what_a_checkpoint_was_not_trained_for_is_refused_at_the_call(
    build: Callable[..., Any], refiner: dict[str, Any], unets: Callable[..., Any]
) -> None:
    pipe = build(StableDiffusionXLImg2ImgPipeline, **refiner)
    with pytest.raises(ArgumentError, match="for text to image, load a base checkpoint"):
        AutoPipelineForText2Image.from_pipe(pipe)("a cat")
    pipe = build(StableDiffusionXLInpaintPipeline, unet=unets(in_channels=9))
    with pytest.raises(ArgumentError, match="9"):
        AutoPipelineForText2Image.from_pipe(pipe)("a cat")
