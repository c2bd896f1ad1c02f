"""Adapters act wherever networks are, and whatever runs them."""

from __future__ import annotations

from collections.abc import Callable
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest

import autopipe
from autopipe.attaching.recorder import Recorder

from .conftest import needs, picture

pytestmark = needs("stable_diffusion")

PLACES: dict[str, Callable[[Any], Any]] = {
    "model": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
    "sequential": lambda pipe: pipe.enable_sequential_cpu_offload(device="cpu"),
    "map": lambda pipe: pipe.set_device_map({"": "cpu"}),
    "disk": lambda pipe: pipe.set_device_map({"": "cpu", "unet": "disk"}, offload_folder=mkdtemp()),
}


@pytest.fixture(params=["attached", "component"])
def pipe(request: pytest.FixtureRequest, build: Callable[..., Any], nets: Any) -> Any:
    if request.param == "component":
        return build(autopipe.StableDiffusionAdapterPipeline)
    made = build(autopipe.StableDiffusionPipeline)
    made.attach("t2i_adapter", nets())
    return made


CALL = {"adapter_image": picture(1), "height": 16, "width": 16}


@pytest.mark.parametrize("place", PLACES)
def test_it_acts_there(pipe: Any, draw: Callable[..., np.ndarray], place: str) -> None:
    acting, plain = draw(pipe, **CALL), draw(pipe, adapters={}, **CALL)
    assert np.abs(acting - plain).max() > 1e-3
    PLACES[place](pipe)
    assert np.array_equal(draw(pipe, **CALL), acting)
    assert np.array_equal(draw(pipe, adapters={}, **CALL), plain)
    pipe.remove_all_hooks()


def test_an_engine_gets_the_features(pipe: Any, draw: Callable[..., np.ndarray]) -> None:
    """They are arguments of the network, so the network needs no view and engines run it."""
    acting = draw(pipe, **CALL)
    engine = Recorder()
    pipe.use_engine({"unet": engine})
    assert np.array_equal(draw(pipe, **CALL), acting)
    assert engine.calls
