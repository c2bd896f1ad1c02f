"""The safety checker: scores, thresholds and black images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autopipe import IFPipeline, IFSafetyChecker
from autopipe.errors import ArgumentError

SEEN = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("unwanted", [False, True])
@pytest.mark.parametrize("marked", [False, True])
def test_flagged_images_become_black(
    checkers: Callable[..., IFSafetyChecker],
    caplog: pytest.LogCaptureFixture,
    unwanted: bool,
    marked: bool,
) -> None:
    images = np.ones((2, 4, 4, 3), np.float32)
    with caplog.at_level(logging.WARNING):
        found, *flags = checkers(unwanted, marked)(SEEN, images)
    assert flags == [[unwanted] * 2, [marked] * 2]
    assert (found == 0).all() == (unwanted or marked)
    assert (images == 1).all()
    assert ("unwanted content" in caplog.text) is unwanted
    assert ("watermarks" in caplog.text) is marked


def test_thresholds_decide_for_each_image(checkers: Callable[..., IFSafetyChecker]) -> None:
    checker = checkers()
    embeds = checker.vision_model(SEEN).image_embeds
    scores = checker.p_head(embeds).flatten().tolist()
    between = sum(scores) / 2
    images = torch.ones(2, 3, 4, 4)
    found, unwanted, marked = checker(SEEN, images, p_threshold=between, w_threshold=9.0)
    assert unwanted == [score > between for score in scores]
    assert sorted(unwanted) == [False, True]
    assert marked == [False, False]
    assert [bool(one.any()) for one in found] == [not flag for flag in unwanted]


def test_a_call_tells_what_was_found(
    build: Callable[..., Any],
    checkers: Callable[..., Any],
    feature_extractor: Any,
) -> None:
    components = {"safety_checker": checkers(True, False), "feature_extractor": feature_extractor}
    pipe = build(IFPipeline, **components)
    output = pipe("a cat", num_inference_steps=2, num_images_per_prompt=2)
    assert output.nsfw_detected == [True, True]
    assert output.watermark_detected == [False, False]
    assert all(image.getextrema() == ((0, 0),) * 3 for image in output.images)
    # Tensors are for the next stage, which has a checker of its own.
    unchecked = pipe("a cat", num_inference_steps=2, output_type="pt")
    assert unchecked.nsfw_detected is None
    assert unchecked.images.abs().max() > 0


def test_a_checker_needs_a_feature_extractor(
    build: Callable[..., Any], checkers: Callable[..., Any]
) -> None:
    with pytest.raises(ArgumentError, match="feature_extractor"):
        build(IFPipeline, safety_checker=checkers())


def test_it_is_saved_and_loaded(
    build: Callable[..., Any],
    checkers: Callable[..., Any],
    feature_extractor: Any,
    folder: Path,
) -> None:
    checker = checkers()
    build(IFPipeline, safety_checker=checker, feature_extractor=feature_extractor).save_pretrained(
        folder
    )
    loaded = IFPipeline.from_pretrained(folder, unet=None, text_encoder=None)
    assert type(loaded.safety_checker) is IFSafetyChecker
    for name, value in checker.state_dict().items():
        assert torch.equal(loaded.safety_checker.state_dict()[name], value)


def test_a_function_as_safety_checker(build: Callable[..., Any], task: Any) -> None:
    pipe = build(task.kind)
    pipe.safety_checker = lambda images, **k: (images * 0, [True], False)
    output = pipe(**{"prompt": "a cat", **task.call, "output_type": "np"})
    assert output.nsfw_detected == [True]
    assert output.watermark_detected == [False]
    assert not output.images.any()
