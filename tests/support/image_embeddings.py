"""Tiny components of priors and of decoders for their image embeddings."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    CLIPImageProcessor,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from .parity import generators
from .pictures import mask, picture
from .tiny import TOKENS, WIDTH, make_text_encoder, make_tokenizer, seeded

DIM = 16
"""The size of an image embedding."""

FACTOR = 2
"""The pixels per latent cell."""

PRIOR: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 8,
    "num_layers": 1,
    "embedding_dim": DIM,
    "num_embeddings": TOKENS,
    "additional_embeddings": 4,
}
MOVQ: dict[str, Any] = {
    "block_out_channels": (32, 32),
    "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
    "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
    "latent_channels": 4,
    "vq_embed_dim": 4,
    "num_vq_embeddings": 12,
    "layers_per_block": 1,
    "norm_type": "spatial",
}
UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 8,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "cross_attention_dim": DIM,
    "encoder_hid_dim": DIM,
    "attention_head_dim": 8,
    "resnet_time_scale_shift": "scale_shift",
}
SCHEDULE: dict[str, Any] = {
    "beta_schedule": "linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    # The latents of random networks would grow until rounding is visible in the image.
    "clip_sample": True,
    "clip_sample_range": 3.0,
}


def make_prior_components(folder: Path) -> dict[str, Any]:
    """Return the components of a prior; the tokenizer files are written to `folder`."""
    from autopipe import PriorTransformer, UnCLIPScheduler

    assert WIDTH == DIM
    tokenizer = make_tokenizer(folder)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
        projection_dim=DIM,
    )
    prior = seeded(lambda: PriorTransformer(**PRIOR))
    # With the defaults 1 and 0, a test would not notice if they were not used.
    prior.clip_std.data.fill_(0.7)
    prior.clip_mean.data.fill_(0.1)
    return {
        "prior": prior,
        "image_encoder": seeded(lambda: CLIPVisionModelWithProjection(vision)),
        "text_encoder": make_text_encoder(CLIPTextModelWithProjection, tokenizer),
        "tokenizer": tokenizer,
        "scheduler": UnCLIPScheduler(
            prediction_type="sample", clip_sample=True, clip_sample_range=5.0
        ),
        "image_processor": CLIPImageProcessor(
            size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
        ),
    }


def make_movq() -> Any:
    """Return a MoVQ autoencoder."""
    from autopipe import VQModel

    return seeded(lambda: VQModel(**MOVQ))


def make_unet(**changes: Any) -> Any:
    """Return the U-Net of a decoder."""
    from autopipe import UNet2DConditionModel

    return seeded(lambda: UNet2DConditionModel(**{**UNET, **changes}))


@pytest.fixture(scope="session")
def prior_components(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The components of a prior."""
    return make_prior_components(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def movq() -> Any:
    """A MoVQ autoencoder."""
    return make_movq()


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a test fail if a network is called."""

    def used(self: Any, *args: Any, **kwargs: Any) -> None:
        pytest.fail(f"{type(self).__name__} was used before the error")

    monkeypatch.setattr(torch.nn.Module, "__call__", used)


def embeds(rows: int = 1, seed: int = 1) -> torch.Tensor:
    """Return random image embeddings (`rows`, `DIM`)."""
    return torch.randn(rows, DIM, generator=torch.Generator().manual_seed(seed))


def stage_call(kind: Any, second: bool = False) -> dict[str, Any]:
    """Return arguments for a quick call of a prior or a decoder.

    Args:
        second: return other values, except for the height and the width.
    """
    first = {
        "prompt": "a red circle",
        "image_embeds": embeds(),
        "negative_image_embeds": embeds(seed=2),
        "image": picture(),
        "mask_image": mask(),
        "hint": torch.zeros(1, 3, 64, 64),
        "height": 16,
        "width": 16,
        "strength": 0.5,
        "num_inference_steps": 4,
    }
    others = {
        "prompt": "a blue star",
        "image_embeds": embeds(seed=3),
        "negative_image_embeds": embeds(seed=4),
        "image": picture().rotate(90),
        "mask_image": mask().rotate(90),
        "hint": torch.ones(1, 3, 64, 64),
        "strength": 1.0,
        "num_inference_steps": 6,
    }
    known = others if second else first
    takes = inspect.signature(kind.__call__).parameters
    return {name: value for name, value in known.items() if name in takes}


@pytest.fixture
def compare_embeds(
    build: Callable[..., Any], reference: Callable[[Any], Any], record: Callable[..., float]
) -> Callable[..., Any]:
    """Function that makes one call of a prior in both libraries and compares the embeddings.

    `method` is called instead of the prior itself if given. The function returns our result.
    """

    def run(kind: Any, *args: Any, seed: Any = 0, method: str = "__call__", **call: Any) -> Any:
        ours = build(kind)
        theirs = reference(ours)
        call = {"num_inference_steps": 4, **call}
        found, expected = (
            getattr(pipe, method)(*args, generator=generators(seed), **copy.deepcopy(call))
            for pipe in (ours, theirs)
        )
        assert list(found) == list(expected)
        for name in found:
            one, other = found[name], expected[name]
            assert type(one) is type(other)
            # Float32 rounding: we encode texts in one batch, diffusers in two.
            assert record(f"{kind.__name__}, {name}", one, other) <= 1e-5
        return found

    return run
