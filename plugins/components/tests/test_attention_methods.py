"""The methods about attention that packages give to all pipelines and networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from autopipe import AutoPipelineForText2Image
from autopipe_components.attention_methods import _say_once
from autopipe_components.networks.attention_processors import FusedAttnProcessor2_0


@pytest.fixture(scope="module")
def pipe() -> Any:
    made = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
    made.set_progress_bar_config(disable=True)
    return made


def draw(pipe: Any) -> Any:
    seed = torch.Generator().manual_seed(1)
    return pipe("a red circle", num_inference_steps=2, generator=seed, output_type="np").images


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
