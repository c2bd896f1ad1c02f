"""Add-ons with a real family: alone and combined, in threads and with every placement."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from autopipe import AutoPipelineForImage2Image, AutoPipelineForText2Image
from autopipe.attaching.attachment import Attachment
from autopipe_inks.addons import Emphasis, LowRank, Repeated

PROMPT = "a red++ circle on a white background"

ADDONS: dict[str, Callable[[], Attachment]] = {
    "low_rank": lambda: LowRank("unet", "attn2.to_k", seed=3),
    "repeated": Repeated,
    "emphasis": Emphasis,
}


@pytest.fixture(scope="module")
def loaded() -> Any:
    return AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")


@pytest.fixture
def pipe(loaded: Any) -> Any:
    """A pipeline with a separate pool of the same networks."""
    made = type(loaded)(**loaded.components)
    made.set_progress_bar_config(disable=True)
    return made


def draw(pipe: Any, prompt: str = PROMPT, **arguments: Any) -> np.ndarray:
    options = {"num_inference_steps": 4, "output_type": "np", **arguments}
    return pipe(prompt, generator=torch.Generator().manual_seed(1), **options).images


def test_each_is_small() -> None:
    import inspect

    for addon in (LowRank, Repeated, Emphasis):
        assert len(inspect.getsource(addon).splitlines()) < 60


@pytest.mark.parametrize("name", ADDONS)
def test_it_acts_and_leaves_no_trace(pipe: Any, name: str) -> None:
    plain = draw(pipe)
    pipe.attach(ADDONS[name]())
    acting = draw(pipe)
    assert np.abs(acting - plain).max() > 0.01
    assert np.array_equal(draw(pipe, adapters={}), plain)
    assert np.array_equal(draw(pipe, adapters={name: 1.0}), acting)
    pipe.detach(name)
    assert np.array_equal(draw(pipe), plain)


def test_what_each_does_is_what_it_says(pipe: Any) -> None:
    plain, without = draw(pipe), PROMPT.replace("++", "")
    pipe.attach(Repeated())
    assert np.array_equal(draw(pipe, keep_every=1), plain)
    pipe.attach(Emphasis())
    pipe.set_attachments({"emphasis": 1.0})
    assert np.array_equal(draw(pipe, without), draw(pipe, without, adapters={}))
    pipe.attach(LowRank("unet", "attn2.to_k"), strength=1e-12)
    pipe.set_attachments({"low_rank": 1e-12})
    assert np.abs(draw(pipe) - plain).max() < 1e-6  # so weak that only rounding remains


def test_together_in_eight_threads_they_are_bitwise_serial(pipe: Any) -> None:
    for make in ADDONS.values():
        pipe.attach(make())
    calls = [
        {"low_rank": number / 8, "repeated": number % 2, "emphasis": 1 - number / 8}
        for number in range(8)
    ]
    serial = [draw(pipe, adapters=one, num_inference_steps=3) for one in calls]
    assert len({picture.tobytes() for picture in serial}) == 8
    with ThreadPoolExecutor(8) as threads:
        drawn = threads.map(lambda one: draw(pipe, adapters=one, num_inference_steps=3), calls)
        assert all(map(np.array_equal, drawn, serial))


def test_another_task_has_them_too(pipe: Any) -> None:
    picture = pipe(PROMPT, num_inference_steps=2).images[0]
    pipe.attach(ADDONS["low_rank"]())
    change = AutoPipelineForImage2Image.from_pipe(pipe)
    change.set_progress_bar_config(disable=True)
    acting = draw(change, image=picture, strength=0.8)
    assert np.abs(acting - draw(change, image=picture, strength=0.8, adapters={})).max() > 0.01
    change.set_attachments({})
    assert dict(pipe.attachments) == {"low_rank": 1.0}


@pytest.mark.parametrize("how", ["model", "sequential", "map", "compile"])
def test_it_acts_under_every_placement(pipe: Any, how: str) -> None:
    for make in ADDONS.values():
        pipe.attach(make())
    acting = draw(pipe)
    place = {
        "model": lambda: pipe.enable_model_cpu_offload(device="cpu"),
        "sequential": lambda: pipe.enable_sequential_cpu_offload(device="cpu"),
        "map": lambda: pipe.set_device_map({"": "cpu"}),
        "compile": lambda: pipe.use_engine("compile", backend="eager"),
    }
    place[how]()
    try:
        assert np.array_equal(draw(pipe), acting)
    finally:
        pipe.remove_all_hooks()


def test_an_engine_draws_the_same_and_is_undone(pipe: Any) -> None:
    plain, networks = draw(pipe), dict(pipe.components)
    pipe.use_engine({"unet": "compile"}, backend="eager")
    # The graph runs the same kernels as eager mode, in the same order.
    assert np.array_equal(draw(pipe), plain)
    assert "unet: compile, prepared" in pipe.explain()
    pipe.use_engine(None)
    assert "compile" not in pipe.explain()
    assert np.array_equal(draw(pipe), plain)
    assert dict(pipe.components) == networks
    assert "_compiled_call_impl" not in vars(pipe.unet)
