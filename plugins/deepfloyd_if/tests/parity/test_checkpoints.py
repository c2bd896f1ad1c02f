"""What we save diffusers loads, and the other way round, with the same image from both."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from support.parity import generators

import autopipe

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

TOLERANCE = 5e-4
"""As in the comparison of the tasks."""

AUTOS = ("AutoPipelineForText2Image", "AutoPipelineForImage2Image", "AutoPipelineForInpainting")


@pytest.fixture
def stored(
    build: Callable[..., Any],
    task: Any,
    checkers: Callable[..., Any],
    feature_extractor: Any,
    watermarker: Any,
) -> Any:
    """A pipeline of each class, with all that a checkpoint may have."""
    return build(
        task.kind,
        safety_checker=checkers(),
        feature_extractor=feature_extractor,
        watermarker=watermarker,
        requires_safety_checker=True,
    )


@pytest.fixture
def checker(stored: Any, twin: Callable[[Any], Any]) -> dict[str, Any]:
    """The reference can't load its own safety checker with transformers 5, so it is handed in."""
    return {"safety_checker": twin(stored.safety_checker)}


def draw(pipe: Any, call: dict[str, Any]) -> Any:
    pipe.set_progress_bar_config(disable=True)
    call = {**call, "output_type": "np"}
    return pipe(prompt="a cat", **call, generator=generators(0)).images


def test_diffusers_loads_what_we_save(
    stored: Any, task: Any, checker: dict[str, Any], folder: Path, record: Callable[..., float]
) -> None:
    stored.save_pretrained(folder)
    theirs = diffusers.DiffusionPipeline.from_pretrained(folder, **checker)
    theirs.safety_checker.load_state_dict(load_file(folder / "safety_checker/model.safetensors"))
    assert type(theirs).__name__ == type(stored).__name__
    assert theirs.watermarker.watermark_image.equal(stored.watermarker.watermark_image)
    found = record("saved here, loaded there", draw(stored, task.call), draw(theirs, task.call))
    assert found <= TOLERANCE


def test_we_load_what_diffusers_saves(
    stored: Any, task: Any, reference: Callable[[Any], Any], folder: Path,
    record: Callable[..., float],
) -> None:  # fmt: skip
    theirs = reference(stored)
    theirs.save_pretrained(folder)
    ours = autopipe.DiffusionPipeline.from_pretrained(folder)
    assert type(ours) is task.kind
    assert ours.watermarker.watermark_image.equal(stored.watermarker.watermark_image)
    found = record("saved there, loaded here", draw(ours, task.call), draw(theirs, task.call))
    assert found <= TOLERANCE


def test_the_index_is_that_of_diffusers(
    stored: Any, reference: Callable[[Any], Any], folder: Path
) -> None:
    stored.save_pretrained(folder / "ours")
    reference(stored).save_pretrained(folder / "theirs")
    ours, theirs = (
        json.loads((folder / name / "model_index.json").read_text()) for name in ("ours", "theirs")
    )
    assert ours["safety_checker"] == ["deepfloyd_if", "IFSafetyChecker"]
    assert ours["watermarker"] == ["deepfloyd_if", "IFWatermarker"]
    # The kind of image processor is told by a name that older releases of transformers know.
    for index in (ours, theirs):
        del index["_diffusers_version"], index["feature_extractor"]
    assert ours == theirs


@pytest.mark.parametrize("auto", AUTOS)
def test_a_checkpoint_for_any_task(
    stored: Any, checker: dict[str, Any], folder: Path, auto: str
) -> None:
    stored.save_pretrained(folder)
    try:
        theirs = getattr(diffusers, auto).from_pretrained(folder, **checker)
    except ValueError:
        with pytest.raises(ValueError, match="AutoPipeline can't find a pipeline linked to"):
            getattr(autopipe, auto).from_pretrained(folder)
    else:
        ours = getattr(autopipe, auto).from_pretrained(folder)
        assert type(ours).__name__ == type(theirs).__name__
