"""The pictures of checkpoints in the onnx layout are those of diffusers, which loads them too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.parity import TOLERANCE

import autopipe

diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.parity

CALLS = {
    "guided": {"negative_prompt": "re"},
    "several": {"num_images_per_prompt": 2},
    "plain": {"guidance_scale": 1.0},
}


Both = Callable[[str, str, dict[str, Any]], tuple[Any, Any]]


@pytest.fixture(scope="module")
def both(saved: Any) -> Both:
    """Draws with both libraries, from states of the same seed; each opens a task once."""

    @functools.cache
    def opened(library: Any, task: str) -> tuple[Any, Any]:
        kind = getattr(library, f"OnnxStableDiffusion{task}Pipeline")
        pipe = kind.from_pretrained(saved(task), provider="CPUExecutionProvider")
        pipe.set_progress_bar_config(disable=True)
        return pipe, pipe.scheduler.config

    def drawn(task: str, scheduler: str, call: dict[str, Any]) -> tuple[Any, Any]:
        pictures = []
        for library in (diffusers, autopipe):
            pipe, config = opened(library, task)
            pipe.scheduler = getattr(library, scheduler).from_config(config)
            pictures.append(pipe(**call, generator=np.random.RandomState(3)).images)
        return pictures[0], pictures[1]

    return drawn


@pytest.mark.parametrize("task", ["", "Img2Img", "Inpaint"])
@pytest.mark.parametrize("changes", CALLS)
@pytest.mark.parametrize("scheduler", ["PNDMScheduler", "DDIMScheduler"])
def test_pictures(both: Both, inputs: Any, task: str, changes: str, scheduler: str) -> None:
    expected, found = both(task, scheduler, {**inputs[task], **CALLS[changes]})
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < TOLERANCE


@pytest.mark.parametrize("strength", [0.4, 1.0])
@pytest.mark.parametrize("scheduler", ["PNDMScheduler", "EulerDiscreteScheduler"])
def test_strength(both: Both, inputs: Any, strength: float, scheduler: str) -> None:
    # Text to image with such a scheduler fails in diffusers: it multiplies arrays and tensors.
    call = {**inputs["Img2Img"], "strength": strength, "num_inference_steps": 5}
    expected, found = both("Img2Img", scheduler, call)
    assert np.abs(found - expected).max() < TOLERANCE


def test_the_network_itself(saved: Any) -> None:
    folder = saved("") / "vae_decoder"
    reference = diffusers.OnnxRuntimeModel.from_pretrained(
        folder, provider="CPUExecutionProvider", provider_options=None
    )
    latents = np.random.RandomState(0).randn(2, 4, 6, 9).astype(np.float32)
    (expected,) = reference(latent_sample=latents)
    (found,) = autopipe.OnnxRuntimeModel.from_pretrained(folder)(latent_sample=latents)
    assert np.array_equal(found, expected)
