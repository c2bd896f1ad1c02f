"""What the depth of an image does in a call, and how the class is reached."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import tiny
from support.pictures import picture, tensor

from autopipe import (
    AutoPipelineForImage2Image,
    DiffusionPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from autopipe import StableDiffusionDepth2ImgPipeline as Pipe
from autopipe.errors import ArgumentError, ArgumentTypeError

CALL: dict[str, Any] = {"prompt": "a cat", "num_inference_steps": 3, "output_type": "np"}
DEPTH = torch.rand(1, 10, 12, generator=torch.Generator().manual_seed(8))
LATENTS = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))


def draw(pipe: Any, **call: Any) -> np.ndarray:
    images: np.ndarray = pipe(**{**CALL, **call}, generator=torch.Generator().manual_seed(0)).images
    return images


@pytest.fixture
def unet() -> UNet2DConditionModel:
    """The network of a model without depth."""
    return tiny.seeded(lambda: UNet2DConditionModel(**tiny.UNET), seed=1)


def test_the_depth_counts_at_every_strength(build: Callable[..., Any]) -> None:
    pipe = build(Pipe)
    for strength in (0.5, 1.0):
        call = {"image": picture(), "strength": strength, "num_inference_steps": 4}
        other = draw(pipe, **call, depth_map=DEPTH)
        assert np.abs(draw(pipe, **call) - other).max() > 1e-3
        # Depth has no unit.
        assert np.abs(draw(pipe, **call, depth_map=7 * DEPTH + 3) - other).max() < 1e-4


def test_a_picture_has_one_depth_in_every_form(build: Callable[..., Any]) -> None:
    pipe, image = build(Pipe), picture(16, 24)
    expected = pipe.prepare_depth_map(image, None, 1, False, torch.float32, "cpu")
    assert expected.shape == (1, 1, 8, 12)
    for form in (np.asarray(image, np.float32) / 255, tensor(image), tensor(image) * 2 - 1):
        found = pipe.prepare_depth_map(form, None, 1, False, torch.float32, "cpu")
        assert torch.allclose(found, expected, atol=1e-5)


def test_latents_need_their_depth(build: Callable[..., Any]) -> None:
    pipe = build(Pipe)
    with pytest.raises(ArgumentError, match="give depth_map too"):
        draw(pipe, image=LATENTS)
    assert draw(pipe, image=LATENTS, depth_map=DEPTH).shape == (1, 16, 16, 3)


def test_a_wall_has_a_depth(build: Callable[..., Any]) -> None:
    drawn = draw(build(Pipe), image=picture(), depth_map=torch.ones(1, 4, 4))
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ({"depth_map": DEPTH[0]}, ArgumentError, r"shape \(10, 12\)"),
        ({"depth_map": DEPTH.repeat(3, 1, 1)}, ArgumentError, "3 depth maps"),
        ({"depth_map": DEPTH / 0}, ArgumentError, "not finite"),
        ({"depth_map": DEPTH.int()}, ArgumentTypeError, "give floats"),
        ({"depth_map": [1.0]}, ArgumentTypeError, "depth_map"),
        ({"image": None}, ArgumentTypeError, "image is missing"),
    ],
)
def test_bad_calls(
    build: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    call: dict[str, Any],
    kind: type[Exception],
    words: str,
) -> None:
    pipe = build(Pipe)
    monkeypatch.setattr(torch.nn.Module, "__call__", lambda *a, **k: pytest.fail("computed"))
    with pytest.raises(kind, match=words):
        draw(pipe, **{"image": picture(), **call})


def test_a_network_without_depth_is_refused(
    build: Callable[..., Any], unet: UNet2DConditionModel
) -> None:
    with pytest.raises(ArgumentError, match="takes 4 channels"):
        draw(build(Pipe, unet=unet), image=picture())


def test_a_checkpoint_opens_by_class_and_task(
    build: Callable[..., Any], estimators: dict[str, Any], tmp_path: Path
) -> None:
    pipe = build(Pipe, depth_estimator=estimators["hybrid"])
    expected = draw(pipe, image=picture())
    pipe.save_pretrained(tmp_path / "depth")
    for opener in (DiffusionPipeline, AutoPipelineForImage2Image):
        again = opener.from_pretrained(tmp_path / "depth")
        again.set_progress_bar_config(disable=True)
        assert type(again) is Pipe
        assert np.array_equal(draw(again, image=picture()), expected)


def test_a_pipeline_without_depth_becomes_one_with_it_and_back(
    build: Callable[..., Any], parts: dict[str, Any], unet: UNet2DConditionModel
) -> None:
    plain = StableDiffusionPipeline(
        **{name: parts[name] for name in ("vae", "text_encoder", "tokenizer", "scheduler")},
        unet=unet,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    own = {name: parts[name] for name in ("unet", "depth_estimator", "feature_extractor")}
    pipe = Pipe.from_pipe(plain, **own)
    assert pipe.vae is plain.vae
    assert pipe.text_encoder is plain.text_encoder
    assert np.array_equal(draw(pipe, image=picture()), draw(build(Pipe), image=picture()))
    back = StableDiffusionImg2ImgPipeline.from_pipe(
        pipe, unet=unet, feature_extractor=None, safety_checker=None, requires_safety_checker=False
    )
    assert back.vae is plain.vae
    expected = StableDiffusionImg2ImgPipeline.from_pipe(plain)
    assert np.array_equal(draw(back, image=picture()), draw(expected, image=picture()))
