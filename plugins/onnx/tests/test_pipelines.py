"""Pipelines in the onnx layout give the pictures of the networks that were exported."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import autopipe
from autopipe import AutoPipelineForImage2Image, AutoPipelineForText2Image
from autopipe.errors import ArgumentError
from autopipe_onnx.model import OnnxRuntimeModel
from autopipe_onnx.save import save_onnx

from .conftest import TASKS, extractor, safety_checker

TOLERANCE = 1e-4
"""Two runtimes round differently; over a few steps less than this of images in [0, 1]."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("changes", [{}, {"height": 128, "width": 64, "negative_prompt": "re"}])
def test_text_to_image_is_that_of_torch(build: Any, load: Any, inputs: Any, changes: Any) -> None:
    call = {**inputs[""], **changes, "num_images_per_prompt": 2}
    expected = build()(**call, generator=seeded()).images
    found = load()(**call, generator=seeded()).images
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < TOLERANCE


def test_inpainting_uses_the_mask_and_the_image(load: Any, inputs: Any) -> None:
    pipe, call = load("Inpaint"), inputs["Inpaint"]
    assert type(pipe).__name__ == "OnnxStableDiffusionInpaintPipeline"

    def draw(**changes: Any) -> Any:
        return pipe(**{**call, **changes}, generator=seeded()).images

    first = draw()
    assert np.isfinite(first).all()
    assert np.abs(first - draw(mask_image=call["mask_image"].rotate(90))).max() > 1e-3
    assert np.abs(first - draw(image=call["image"].rotate(90))).max() > 1e-3


def test_an_auto_class_opens_it_and_switches_tasks(saved: Any, inputs: Any) -> None:
    pipe = AutoPipelineForText2Image.from_pretrained(saved(""))
    assert type(pipe) is autopipe.OnnxStableDiffusionPipeline
    other = AutoPipelineForImage2Image.from_pipe(pipe)
    assert type(other) is autopipe.OnnxStableDiffusionImg2ImgPipeline
    assert other.unet is pipe.unet
    first, second = (other(**inputs["Img2Img"], generator=seeded(i)).images for i in (0, 1))
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("task", TASKS)
def test_a_random_state_gives_the_noise(load: Any, inputs: Any, task: str) -> None:
    pipe, call = load(task), inputs[task]

    def draw(seed: int) -> Any:
        return pipe(**call, generator=np.random.RandomState(seed)).images

    assert np.array_equal(draw(1), draw(1))
    assert np.abs(draw(1) - draw(2)).max() > 1e-3


def test_noise_may_be_given_in_place_of_a_state(load: Any, inputs: Any) -> None:
    pipe, call = load(), inputs[""]
    noise = torch.from_numpy(np.random.RandomState(5).randn(1, 4, 8, 8).astype(np.float32))
    expected = pipe(**call, generator=np.random.RandomState(5)).images
    assert np.array_equal(pipe(**call, latents=noise).images, expected)


def test_threads_get_the_pictures_of_calls_one_after_another(load: Any, inputs: Any) -> None:
    pipe, found = load(), {}
    expected = {seed: pipe(**inputs[""], generator=seeded(seed)).images for seed in range(4)}

    def draw(seed: int) -> None:
        found[seed] = pipe(**inputs[""], generator=seeded(seed)).images

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[seed], expected[seed]) for seed in expected)


@pytest.mark.parametrize(("threshold", "is_black"), [(2.0, False), (-2.0, True)])
def test_the_safety_checker_is_exported(
    build: Any, inputs: Any, tmp_path: Path, threshold: float, is_black: bool
) -> None:
    checked = {"safety_checker": safety_checker(threshold), "feature_extractor": extractor()}
    save_onnx(build(**checked), tmp_path)
    output = autopipe.DiffusionPipeline.from_pretrained(tmp_path)(**inputs[""])
    assert output.nsfw_content_detected == [is_black]
    assert (output.images.max() == 0) == is_black


@pytest.mark.parametrize("name", ["clip_skip", "cross_attention_kwargs"])
def test_what_reaches_into_a_network_is_refused(load: Any, inputs: Any, name: str) -> None:
    value: Any = 1 if name == "clip_skip" else {"scale": 0.5}
    with pytest.raises(ArgumentError, match=f"{name} reaches into a network"):
        load()(**inputs[""], **{name: value})


def test_a_saved_pipeline_is_loaded_again(load: Any, inputs: Any, tmp_path: Path) -> None:
    pipe = load()
    pipe.save_pretrained(tmp_path / "again")
    again = autopipe.DiffusionPipeline.from_pretrained(tmp_path / "again")
    assert type(again) is type(pipe)
    expected = pipe(**inputs[""], generator=seeded()).images
    assert np.array_equal(again(**inputs[""], generator=seeded()).images, expected)


def test_without_an_encoder_images_are_refused(saved: Any, inputs: Any) -> None:
    kind = autopipe.OnnxStableDiffusionImg2ImgPipeline
    pipe = kind.from_pretrained(saved(""), vae_encoder=None)
    with pytest.raises(ArgumentError, match="without vae_encoder=None"):
        pipe(**inputs["Img2Img"])


def test_a_network_of_another_kind_is_named(saved: Any, load: Any, inputs: Any) -> None:
    pipe = load()
    pipe.unet = OnnxRuntimeModel.from_pretrained(saved(""), subfolder="vae_decoder")
    with pytest.raises(ArgumentError, match="not what its folder says"):
        pipe(**inputs[""])


def test_strength_that_leaves_no_step_is_refused(load: Callable[..., Any], inputs: Any) -> None:
    pipe = load("Img2Img")
    pipe.scheduler.register_to_config(steps_offset=0)
    with pytest.raises(ArgumentError, match="leaves nothing to do"):
        pipe(**{**inputs["Img2Img"], "strength": 0.0})


def test_latents_can_be_previewed(build: Any, load: Any) -> None:
    latents = torch.randn(1, 4, 8, 8, generator=seeded())
    (expected,), (found,) = build().preview(latents), load().preview(latents)
    assert found.size == expected.size
    assert np.asarray(found).std() > 0
