"""The methods about attention that packages give to all pipelines and networks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from autopipe import AutoPipelineForText2Image
from autopipe.errors import ArgumentError
from autopipe_components.attention_methods import _say_once
from autopipe_components.networks.attention_processors import FusedAttnProcessor2_0


@pytest.fixture(scope="module")
def pipe() -> Any:
    made = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    made.set_progress_bar_config(disable=True)
    return made


def draw(pipe: Any, seed: int = 1, **options: Any) -> Any:
    call = {"num_inference_steps": 2, "output_type": "np", **options}
    return pipe("a red circle", generator=torch.Generator().manual_seed(seed), **call).images


def test_choosing_a_kernel_does_nothing_and_says_so_once(
    pipe: Any, caplog: pytest.LogCaptureFixture
) -> None:
    _say_once.cache_clear()
    plain = draw(pipe)
    pipe.enable_xformers_memory_efficient_attention()
    pipe.unet.enable_xformers_memory_efficient_attention(attention_op=None)
    pipe.unet.set_use_memory_efficient_attention_xformers(True)
    pipe.unet.set_attention_backend("flash")
    pipe.disable_xformers_memory_efficient_attention()
    assert np.array_equal(draw(pipe), plain)
    assert caplog.text.count("no effect") == 1


def test_projections_of_a_pipeline(pipe: Any) -> None:
    def fused(network: Any) -> bool:
        found = {type(one) is FusedAttnProcessor2_0 for one in network.attn_processors.values()}
        return found == {True}

    plain = draw(pipe)
    pipe.fuse_qkv_projections(vae=False)
    assert fused(pipe.unet)
    assert not fused(pipe.vae)
    # The same sums in another order.
    np.testing.assert_allclose(draw(pipe), plain, atol=1e-4)
    pipe.fuse_qkv_projections()
    assert fused(pipe.vae)
    np.testing.assert_allclose(draw(pipe), plain, atol=1e-4)
    pipe.unfuse_qkv_projections()
    assert np.array_equal(draw(pipe), plain)


class Halved:
    """Halves what self-attention adds; other layers compute as usual."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Any,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
        factor: float = 0.5,
    ) -> Any:
        usual = attn.compute(hidden_states, encoder_hidden_states, attention_mask)
        return usual if attn.is_cross_attention else factor * usual


@pytest.fixture
def processed(pipe: Any) -> Any:
    """A pipeline of its own whose U-Net has a processor of the user."""
    made = copy.deepcopy(pipe)
    made.unet.set_attn_processor(Halved())
    return made


PLACES: dict[str, Callable[[Any], Any]] = {
    "model": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
    "sequential": lambda pipe: pipe.enable_sequential_cpu_offload(device="cpu"),
    "map": lambda pipe: pipe.set_device_map({"": "cpu"}),
    "compile": lambda pipe: pipe.use_engine({"unet": "compile"}, backend="eager"),
    "channels_last": lambda pipe: pipe.use_engine({"unet": "channels_last"}),
}


@pytest.mark.parametrize("place", PLACES)
def test_processors_act_under_every_placement(
    pipe: Any, processed: Any, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    acting = draw(processed)
    assert abs(acting - draw(pipe)).max() > 1e-3
    PLACES[place](processed)
    np.testing.assert_allclose(draw(processed), acting, atol=1e-5)
    assert ("code of yours" in caplog.text) is (place == "channels_last")


def test_options_of_calls_in_threads(pipe: Any, processed: Any) -> None:
    calls = [
        {"seed": n, "cross_attention_kwargs": {"factor": n / 8, "scale": 1.0}} for n in range(8)
    ]
    serial = [draw(processed, **one) for one in calls]
    assert len({one.tobytes() for one in serial}) == 8
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda one: draw(processed, **one), calls))
    assert all(map(np.array_equal, drawn, serial))
    with pytest.raises(ArgumentError, match="'factor', which no attention processor takes"):
        draw(pipe, cross_attention_kwargs={"factor": 0.5})


@pytest.mark.parametrize("place", ["sequential", "map", "channels_last"])
def test_layerwise_casting_under_placements(pipe: Any, place: str) -> None:
    made = copy.deepcopy(pipe)
    for network in (made.unet, made.vae):
        network.enable_layerwise_casting(torch.bfloat16)
    acting = draw(made)
    assert 0 < abs(acting - draw(pipe)).max() < 0.2
    PLACES[place](made)
    np.testing.assert_allclose(draw(made), acting, atol=1e-4)
