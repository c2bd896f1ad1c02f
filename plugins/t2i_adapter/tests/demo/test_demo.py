"""How the demo adapter is trained: it fits the demo, and learns by its features alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe import DiffusionPipeline, T2IAdapter
from autopipe_t2i_adapter.fit import check_fits

from ..conftest import needs

pytestmark = [needs("stable_diffusion"), needs("controlnet")]


@pytest.fixture
def train() -> Any:
    """The training code, which shares functions with that of the demo ControlNet."""
    from t2i_adapter_demo import train

    return train


def test_the_adapter_fits_and_is_what_is_shipped(train: Any) -> None:
    pipe = DiffusionPipeline.from_pretrained("demo:stable_diffusion")
    new, shipped = train.new_adapter(), T2IAdapter.from_pretrained("demo:t2i_adapter")
    check_fits(new, pipe.unet, pipe.vae_scale_factor)
    shapes = [{n: one.shape for n, one in net.state_dict().items()} for net in (new, shipped)]
    assert shapes[0] == shapes[1]
    assert (new.widths, new.strides) == (shipped.widths, shipped.strides)


def test_only_the_adapter_learns(train: Any) -> None:
    pipe = DiffusionPipeline.from_pretrained("demo:stable_diffusion")
    pipe.unet.requires_grad_(False)
    adapter = train.new_adapter()
    noised, outlines = torch.randn(2, 4, 16, 16), torch.rand(2, 3, 64, 64)
    timesteps = torch.tensor([10, 900])
    found = train.steered(pipe, adapter, noised, timesteps, ["a red circle", ""], outlines)
    assert found.shape == noised.shape
    found.sum().backward()
    assert all(one.grad is not None and one.grad.any() for one in adapter.parameters())
