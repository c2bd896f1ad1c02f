"""Saving and loading pipelines of the family."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import autopipe
from autopipe import DiffusionPipeline, StableDiffusionPipeline


def draw(pipe: Any, call: dict[str, Any]) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe(**call, generator=torch.Generator().manual_seed(0))


def test_a_saved_pipeline_draws_the_same(
    build: Callable[..., Any],
    task: Any,
    folder: Path,
    checkers: Callable[[float], Any],
    feature_extractor: Any,
) -> None:
    pipe = build(task.kind, safety_checker=checkers(2.0), feature_extractor=feature_extractor)
    pipe.save_pretrained(folder)
    loaded = DiffusionPipeline.from_pretrained(folder)
    assert type(loaded) is task.kind
    assert loaded.index() == pipe.index()
    found, expected = draw(loaded, task.call), draw(pipe, task.call)
    assert torch.equal(found.images, expected.images)
    assert found.nsfw_content_detected == [False]


def test_a_checkpoint_without_a_checker_needs_none(
    build: Callable[..., Any], folder: Path, task: Any
) -> None:
    build(StableDiffusionPipeline).save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["safety_checker"] == [None, None]
    assert index["requires_safety_checker"] is False
    loaded = task.kind.from_pretrained(folder)
    assert loaded.safety_checker is None
    assert loaded.options["requires_safety_checker"] is False


def test_a_scheduler_may_be_given(build: Callable[..., Any], folder: Path) -> None:
    build(StableDiffusionPipeline).save_pretrained(folder)
    given = autopipe.EulerDiscreteScheduler(steps_offset=1)
    assert StableDiffusionPipeline.from_pretrained(folder, scheduler=given).scheduler is given


def test_the_size_of_an_old_unet_is_corrected_on_loading(
    build: Callable[..., Any], folder: Path
) -> None:
    build(StableDiffusionPipeline).save_pretrained(folder)
    file = folder / "unet" / "config.json"
    config = json.loads(file.read_text())
    assert config["sample_size"] == 8
    file.write_text(json.dumps({**config, "_diffusers_version": "0.6.0"}))
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    assert pipe.unet.config.sample_size == 64
