"""Older programs load single files by a function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.single_files import saved

from autopipe import DDIMScheduler, DiffusionPipeline, StableDiffusionPipeline
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.pipelines.stable_diffusion.convert_from_ckpt import (
    download_from_original_stable_diffusion_ckpt as load,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pipe = DiffusionPipeline.from_pretrained("demo:stable_diffusion", torch_dtype=torch.float32)
    return saved(pipe, tmp_path_factory.mktemp("single") / "demo")


def test_the_pipeline_of_the_file(file: Path) -> None:
    given: dict[str, Any] = {"config": file.with_suffix(""), "prediction_type": "v-prediction"}
    pipe = load(file, image_size=512, from_safetensors=True, scheduler_type="ddim", **given)
    assert isinstance(pipe, StableDiffusionPipeline)
    assert isinstance(pipe.scheduler, DDIMScheduler)
    assert pipe.scheduler.config["prediction_type"] == "v_prediction"
    other = load(str(file), pipeline_class=StableDiffusionPipeline, vae=pipe.vae, **given)
    assert other.vae is pipe.vae


def test_what_no_reader_has_is_refused(file: Path) -> None:
    with pytest.raises(ArgumentError, match="extract_ema can't be given"):
        load(file, extract_ema=True)
    with pytest.raises(ArgumentTypeError, match="the path of the file"):
        load({})  # type: ignore[arg-type]
