"""LoRAs act, or are refused, wherever networks are and whatever runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.placements import PLACES
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from autopipe import DiffusionPipeline, UNet2DConditionModel
from autopipe.attaching.recorder import Recorder
from autopipe.errors import PlacementError

from .conftest import draw

Made = Callable[..., dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _forget() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_it_acts_and_is_attached_there(pipe: Any, lora: Made, place: str, dora: bool) -> None:
    state = lora(dora=dora, layers=("to_q", "to_out.0", "conv1", "q_proj"))
    plain = draw(pipe)
    pipe.attach("lora", state)
    acting = draw(pipe)
    pipe.detach("lora")
    PLACES[place](pipe)
    pipe.attach("lora", state)
    assert np.array_equal(draw(pipe), acting)
    assert np.array_equal(draw(pipe, adapters={}), plain)
    pipe.set_attachments({"lora": {"unet": 0}})
    assert not np.array_equal(draw(pipe), acting)
    pipe.remove_all_hooks()
    pipe.set_attachments({"lora": 1})
    assert np.array_equal(draw(pipe), acting)


@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}, {"mid_block": "disk", "": "cpu"}])
def test_it_acts_on_a_network_that_is_placed_by_parts(
    checkpoint: Path, pipe: Any, lora: Made, device_map: Any, tmp_path: Path
) -> None:
    state = lora(dora=True)
    pipe.attach("lora", state)
    acting = draw(pipe)
    unet = UNet2DConditionModel.from_pretrained(
        checkpoint, subfolder="unet", device_map=device_map, offload_folder=tmp_path
    )
    other = DiffusionPipeline.from_pretrained(checkpoint, unet=unet)
    other.set_progress_bar_config(disable=True)
    other.attach("lora", state)
    assert np.array_equal(draw(other), acting)


def test_nothing_is_compiled_again_for_other_weights(pipe: Any, lora: Made) -> None:
    counter = CompileCounter()
    for number in range(3):
        pipe.attach("lora", lora(number, components=("unet",)), name=f"lora_{number}")
    pipe.set_attachments({"lora_0": 1.0})
    # Captured graphs run the same kernels as eager mode, in the same order.
    acting = draw(pipe)
    pipe.use_engine({"unet": "compile"}, backend=counter)
    assert np.array_equal(draw(pipe), acting)
    compiled = counter.frame_count
    assert compiled
    for name, strength in (("lora_0", 0.5), ("lora_1", 1.0), ("lora_2", {"unet": {"mid": 0.3}})):
        draw(pipe, adapters={name: strength})
        draw(pipe, adapters={name: strength}, cross_attention_kwargs={"scale": 0.7})
    assert counter.frame_count == compiled


def test_fusing_waits_for_layers_that_are_placed_one_by_one(pipe: Any, lora: Made) -> None:
    pipe.load_lora_weights(lora())
    acting = draw(pipe)
    pipe.enable_sequential_cpu_offload(device="cpu")
    with pytest.raises(PlacementError, match="remove_all_hooks"):
        pipe.fuse_lora()
    assert pipe.num_fused_loras == 0
    assert np.array_equal(draw(pipe), acting)
    pipe.remove_all_hooks()
    pipe.fuse_lora()
    fused = draw(pipe)
    for place in ("model", "sequential", "map"):
        PLACES[place](pipe)
        assert np.array_equal(draw(pipe), fused)
        pipe.remove_all_hooks()
    pipe.enable_model_cpu_offload(device="cpu")
    pipe.unfuse_lora()
    assert np.array_equal(draw(pipe), acting)
    pipe.fuse_lora()
    assert np.array_equal(draw(pipe), fused)


def test_an_engine_that_takes_no_views_runs_what_is_fused(pipe: Any, lora: Made) -> None:
    engine = Recorder()
    pipe.load_lora_weights(lora(components=("unet",)))
    acting = draw(pipe)
    pipe.use_engine({"unet": engine})
    assert np.array_equal(draw(pipe), acting)
    assert "attachments change it" in pipe.explain()
    assert not engine.calls
    pipe.fuse_lora()
    fused = draw(pipe)
    assert not engine.calls
    pipe.use_engine({"unet": engine})
    assert np.array_equal(draw(pipe), fused)
    assert engine.calls
