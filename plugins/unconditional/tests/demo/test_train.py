"""The demo checkpoint draws the classes that it is asked for, and its training makes such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autopipe import AutoPipelineForUnconditional, DiffusionPipeline

PLUGIN = Path(__file__).parents[2]


@pytest.fixture
def training() -> Any:
    """The module that trains the demo."""
    from unconditional_demo import train

    return train


def shape_of(image: Image.Image) -> np.ndarray:
    """Where a picture is not white, moved to the middle and to a common size."""
    inked = np.asarray(image.convert("RGB"), np.float32).min(-1) < 190
    box = Image.fromarray(inked).getbbox()
    assert box is not None, "the picture is white"
    return np.asarray(Image.fromarray(inked).crop(box).resize((24, 24)), bool)


def test_it_draws_the_classes_it_is_asked_for(training: Any) -> None:
    pipe = AutoPipelineForUnconditional.from_pretrained("demo:unconditional")
    pipe.set_progress_bar_config(disable=True)
    images = pipe(
        class_labels=[kind for kind in range(len(training.CLASSES)) for _ in range(2)],
        num_inference_steps=12,
        generator=torch.Generator().manual_seed(0),
    ).images
    stencils = []
    for name in training.CLASSES:
        scene = training.Scene(name, "black", "white", (32, 32), 20, "centre", "medium")
        stencils.append(shape_of(training.draw(scene, size=training.SIZE)))
    right = 0
    for number, image in enumerate(images):
        shape = shape_of(image)
        overlaps = [(shape & one).sum() / (shape | one).sum() for one in stencils]
        right += int(np.argmax(overlaps)) == number // 2
    assert right >= 10, f"{right} of {len(images)} pictures show their class"


def test_a_run_that_was_stopped_goes_on(
    training: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"block_out_channels": (8, 8, 8), "attention_head_dim": 8}
    for name, value in (("BATCH", 2), ("SAVE_EVERY", 1), ("UNET", {**training.UNET, **small})):
        monkeypatch.setattr(training, name, value)
    # The rate of a step depends on the number of all steps.
    monkeypatch.setattr(training, "rate_of", lambda step, steps: 1.0)
    (tmp_path / "parts").mkdir()
    (tmp_path / "whole").mkdir()
    whole = training.train(tmp_path / "whole", 2)
    training.train(tmp_path / "parts", 1)
    parts = training.train(tmp_path / "parts", 2)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


def test_the_checkpoint_is_small_and_opens_by_its_index() -> None:
    folder = PLUGIN / "src/autopipe_unconditional/demo"
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 2_000_000
    assert type(DiffusionPipeline.from_pretrained(folder)).__name__ == "DDIMPipeline"
