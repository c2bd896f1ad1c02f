"""What one library saves, the other loads, and draws the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import autopipe

pytestmark = pytest.mark.parity


@pytest.fixture(params=[2.0, -2.0], ids=["clean", "flagged"])
def ours(
    request: pytest.FixtureRequest,
    build: Callable[..., Any],
    task: Any,
    checkers: Callable[[float], Any],
    feature_extractor: Any,
) -> Any:
    """A pipeline of each task, with a safety checker that finds nothing or everything."""
    return build(
        task.kind,
        safety_checker=checkers(request.param),
        feature_extractor=feature_extractor,
        requires_safety_checker=True,
    )


def draw(pipe: Any, call: dict[str, Any]) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe(**call, generator=torch.Generator().manual_seed(0))


def test_diffusers_loads_what_we_save(
    ours: Any, task: Any, folder: Path, record: Callable[..., float]
) -> None:
    import diffusers

    ours.save_pretrained(folder)
    theirs = diffusers.DiffusionPipeline.from_pretrained(folder)
    assert type(theirs).__name__ == task.kind.__name__
    found, expected = draw(ours, task.call), draw(theirs, task.call)
    assert record("saved here, loaded there", found.images, expected.images) < 1e-4
    assert found.nsfw_content_detected == expected.nsfw_content_detected


def test_we_load_what_diffusers_saves(
    ours: Any,
    task: Any,
    folder: Path,
    reference: Callable[[Any], Any],
    record: Callable[..., float],
) -> None:
    theirs = reference(ours)
    theirs.save_pretrained(folder)
    loaded = task.kind.from_pretrained(folder)
    found, expected = draw(loaded, task.call), draw(theirs, task.call)
    assert record("saved there, loaded here", found.images, expected.images) < 1e-4
    assert found.nsfw_content_detected == expected.nsfw_content_detected
    index = json.loads((folder / "model_index.json").read_text())
    # Without torchvision transformers has another name for the class, which older ones don't know.
    index["feature_extractor"][1] = index["feature_extractor"][1].removesuffix("Pil")
    assert {k: v for k, v in loaded.index().items() if k[0] != "_"} == {
        k: v for k, v in index.items() if k[0] != "_"
    }


@pytest.mark.parametrize("kind", ["StableDiffusionImg2ImgPipeline", "StableDiffusionPipeline"])
def test_any_task_opens_the_checkpoint_of_another(
    build: Callable[..., Any], task: Any, folder: Path, record: Callable[..., float], kind: str
) -> None:
    import diffusers

    build(getattr(autopipe, kind)).save_pretrained(folder)
    found = draw(task.kind.from_pretrained(folder), task.call)
    theirs = getattr(diffusers, task.kind.__name__)
    expected = draw(theirs.from_pretrained(folder, safety_checker=None), task.call)
    assert record("opened as another task", found.images, expected.images) < 1e-4


def test_the_default_size_of_old_checkpoints(build: Callable[..., Any], folder: Path) -> None:
    import diffusers

    build(autopipe.StableDiffusionPipeline).save_pretrained(folder)
    file = folder / "unet" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "_diffusers_version": "0.6.0"}))
    loaded = autopipe.StableDiffusionPipeline.from_pretrained(folder)
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    assert loaded.unet.config.sample_size == theirs.unet.config.sample_size == 64
