"""OpenVINO runs the networks of every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import tiny
from support.image_embeddings import make_movq, make_prior_components, make_unet
from torch import Tensor

from autopipe import UNet2DConditionModel
from autopipe_components.engines.calls import taken_apart
from autopipe_components.engines.topologies import Topologies
from autopipe_openvino.engine import OpenVINO

BLOCKS = {
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "cross_attention_dim": 32,
}
CLASSES = {"class_embed_type": "timestep", "encoder_hid_dim": 24}
SIZES = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 10 + 6 * 4,
}
Call = tuple[Any, str, Callable[[int], tuple[tuple[Any, ...], dict[str, Any]]]]
"""A network, a method, and what makes arguments of a batch."""


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def pixels(_: Path) -> Call:
    """Of DeepFloyd IF: classes, a projected prompt, and a mask of its tokens."""
    config = {"in_channels": 6, **BLOCKS, **CLASSES, "encoder_hid_dim_type": "text_proj"}
    unet = tiny.seeded(lambda: UNet2DConditionModel(**config))

    def given(batch: int) -> Any:
        mask = torch.ones(batch, 5)
        mask[:, 3:] = 0
        named = {"class_labels": torch.full((batch,), 9), "encoder_attention_mask": mask}
        return (noise(batch, 6, 8 * batch, 8), torch.tensor(3), noise(batch, 5, 24)), named

    return unet, "forward", given


def sizes(_: Path) -> Call:
    """Of SDXL: a pooled prompt and six sizes."""
    unet = tiny.seeded(lambda: UNet2DConditionModel(**{**tiny.UNET, **SIZES}))

    def given(batch: int) -> Any:
        added = {"text_embeds": noise(batch, 10), "time_ids": noise(batch, 6)}
        sample = noise(batch, 4, 8, 8 * batch)
        return (sample, torch.tensor(3), noise(batch, 5, 16)), {"added_cond_kwargs": added}

    return unet, "forward", given


def embedded(_: Path) -> Call:
    """Of Kandinsky 2.2: an embedded image, and no prompt."""
    unet = make_unet(encoder_hid_dim_type="image_proj", addition_embed_type="image")

    def given(batch: int) -> Any:
        added = {"image_embeds": noise(batch, 16)}
        channels = unet.config.in_channels
        sample = noise(batch, channels, 8, 4 * batch)
        return (sample, torch.tensor(3), None), {"added_cond_kwargs": added, "return_dict": False}

    return unet, "forward", given


def decoded(_: Path) -> Call:
    """Of both Kandinskys: an autoencoder."""
    movq = make_movq()
    channels = movq.config.latent_channels

    def given(batch: int) -> Any:
        return (noise(batch, channels, 8, 4 * batch),), {"force_not_quantize": True}

    return movq, "decode", given


def prior(folder: Path) -> Call:
    network = make_prior_components(folder)["prior"]

    def given(batch: int) -> Any:
        tokens = network.config.num_embeddings
        named = {
            "proj_embedding": noise(batch, 16),
            "encoder_hidden_states": noise(batch, tokens, 16),
            "attention_mask": torch.ones(batch, tokens, dtype=torch.bool),
        }
        return (noise(batch, 16), torch.tensor(3)), named

    return network, "forward", given


def texts(folder: Path) -> Call:
    network = make_prior_components(folder)["text_encoder"]
    return network, "forward", lambda batch: ((torch.arange(12).repeat(batch, 1),), {})


@pytest.mark.parametrize("make", [pixels, sizes, embedded, decoded, prior, texts])
def test_its_outputs_are_those_of_eager_mode(make: Any, tmp_path: Path) -> None:
    network, method, given = make(tmp_path)
    engine = OpenVINO()
    engine.topologies = Topologies(tmp_path / "cache")
    run = engine.prepare(network.eval(), method)
    for batch in (2, 1, 3):
        args, kwargs = given(batch)
        with torch.no_grad():
            found, expected = run(*args, **kwargs), getattr(network, method)(*args, **kwargs)
        assert type(found) is type(expected)
        for a, b in zip(taken_apart(found)[1], taken_apart(expected)[1], strict=True):
            assert a.shape == b.shape
            assert (a - b).abs().max() <= engine.tolerance * b.abs().max()
    assert len(engine.topologies.entries()) == 1
