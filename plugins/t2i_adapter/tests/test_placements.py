"""Adapters act wherever networks are, and whatever runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.placements import PLACES

import autopipe
from autopipe.attaching.recorder import Recorder

from .conftest import needs, picture

pytestmark = needs("stable_diffusion")


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


def test_the_engine_that_compiles_runs_it(pipe: Any, draw: Callable[..., np.ndarray]) -> None:
    acting = draw(pipe, **CALL)
    pipe.use_engine({"unet": "compile"}, backend="eager")
    np.testing.assert_allclose(draw(pipe, **CALL), acting, atol=1e-5)


def test_a_saved_pipeline_is_the_one_without_what_is_attached(
    build: Callable[..., Any], nets: Any, draw: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    pipe = build(autopipe.StableDiffusionPipeline)
    plain = draw(pipe, height=16, width=16)
    pipe.attach("t2i_adapter", nets())
    pipe.save_pretrained(tmp_path)
    absent = {name: None for name, one in pipe.components.items() if one is None}
    again = autopipe.DiffusionPipeline.from_pretrained(tmp_path, **absent)
    again.set_progress_bar_config(disable=True)
    assert not again.attachments
    assert np.array_equal(draw(again, height=16, width=16), plain)
