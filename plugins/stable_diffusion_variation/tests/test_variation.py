"""Calls of image variations, and how the class is reached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.pictures import picture

from autopipe import AutoPipelineForImageVariation, DiffusionPipeline
from autopipe import StableDiffusionImageVariationPipeline as Pipe
from autopipe.cli import main
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.steps.seen import seen_pixels


def draw(pipe: Any, image: Any, **call: Any) -> np.ndarray:
    call = {"num_inference_steps": 2, "output_type": "np", **call}
    images: np.ndarray = pipe(image, **call, generator=torch.Generator().manual_seed(0)).images
    return images


def test_a_picture_gives_the_same_in_every_form(build: Callable[..., Any]) -> None:
    pipe = build(Pipe)
    expected = draw(pipe, picture())
    for form in (np.asarray(picture()), [picture().convert("RGBA")], seen_pixels(pipe, picture())):
        assert np.abs(draw(pipe, form) - expected).max() < 1e-5
    assert np.abs(draw(pipe, picture(seed=2)) - expected).max() > 1e-3


def test_tensors_need_no_feature_extractor(build: Callable[..., Any]) -> None:
    pixels = seen_pixels(build(Pipe), picture())
    pipe = build(Pipe, feature_extractor=None)
    assert np.array_equal(draw(pipe, [pixels[0]]), draw(pipe, pixels))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ({"image": None}, ArgumentTypeError, "image is missing"),
        ({"image": torch.ones(1, 3, 9, 9)}, ArgumentError, r"\(batch, 3, 16, 16\)"),
        ({"image": "cat.png"}, ArgumentTypeError, "load_image"),
        ({"image": []}, ArgumentError, "empty"),
        ({"height": 12}, ArgumentError, "divisible by 8"),
        ({"callback_steps": 0}, ArgumentError, "callback_steps"),
    ],
)
@pytest.mark.usefixtures("idle")
def test_bad_calls(
    build: Callable[..., Any], call: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        draw(build(Pipe), **{"image": picture(), **call})


@pytest.mark.parametrize("name", ["image_encoder", "feature_extractor"])
def test_what_is_absent_is_named(build: Callable[..., Any], name: str) -> None:
    with pytest.raises(ArgumentError, match=f"has no {name}"):
        draw(build(Pipe, **{name: None}), picture())


def test_a_checkpoint_opens_by_class_and_task(
    build: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pipe = build(Pipe)
    pipe.save_pretrained("model")
    picture().save("cat.png")
    for opener in (DiffusionPipeline, AutoPipelineForImageVariation):
        again = opener.from_pretrained("model")
        again.set_progress_bar_config(disable=True)
        assert np.array_equal(draw(again, picture()), draw(pipe, picture()))
    line = "generate --model model --task variation --image cat.png --steps 2 --seed 0 -o drawn.png"
    assert main(line.split()) == 0
    assert Image.open("drawn.png").size == (16, 16)
