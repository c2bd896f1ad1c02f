"""Processors written for the reference compute our networks, with the same numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.networks import twins
from torch import Tensor

from autopipe_components.networks.autoencoder_kl import AutoencoderKL
from autopipe_components.networks.vq_model import VQModel

from .test_autoencoder_kl import BASE as VAE
from .test_unet import IF_I, THREE, compare, pair

pytestmark = pytest.mark.parity

# The same sums in another order, after about ten layers.
TOLERANCE = 1e-4


def processors() -> list[Any]:
    from diffusers.models.attention_processor import (
        AttnProcessor,
        AttnProcessor2_0,
        SlicedAttnProcessor,
    )

    return [AttnProcessor(), AttnProcessor2_0(), SlicedAttnProcessor(2)]


def test_the_names_of_layers_and_their_order() -> None:
    for models in (pair(**THREE), pair(**IF_I), twins(AutoencoderKL, **VAE)):
        ours, theirs = models
        assert [*ours.attn_processors] == [*theirs.attn_processors]


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("masks", [False, True], ids=["plain", "masked"])
def test_unet(index: int, masks: bool) -> None:
    models = pair(**THREE)
    models[0].set_attn_processor(processors()[index])
    given = {"encoder_attention_mask": torch.tensor([[1, 1, 1, 0, 0], [1] * 5])} if masks else {}
    compare(models, **given)


@pytest.mark.parametrize("name", ["AttnAddedKVProcessor", "AttnAddedKVProcessor2_0"])
def test_unet_among_pixels(name: str) -> None:
    from diffusers.models import attention_processor

    models = pair(**IF_I)
    models[0].set_attn_processor(getattr(attention_processor, name)())
    compare(models, encoder_hidden_states=torch.randn(2, 5, 64))


@torch.no_grad()
@pytest.mark.parametrize("index", range(2))
def test_autoencoders(index: int) -> None:
    ours, theirs = twins(AutoencoderKL, **VAE)
    ours.set_attn_processor(processors()[index])
    latents = torch.randn(1, 4, 4, 4)
    close(ours.decode(latents).sample, theirs.decode(latents).sample)
    config = {
        "block_out_channels": (32,),
        "down_block_types": ("AttnDownEncoderBlock2D",),
        "up_block_types": ("AttnUpDecoderBlock2D",),
        "norm_type": "spatial",
    }
    ours, theirs = twins(VQModel, **config)
    ours.set_attn_processor(processors()[index])
    latents = torch.randn(1, 3, 4, 4)
    options = {"force_not_quantize": True}
    close(ours.decode(latents, **options).sample, theirs.decode(latents, **options).sample)


def test_options_of_a_call() -> None:
    class Scaled(type(processors()[1])):  # type: ignore[misc]
        def __call__(self, attn: Any, *args: Any, factor: float = 1.0, **kwargs: Any) -> Tensor:
            return factor * super().__call__(attn, *args, **kwargs)

    models = pair()
    for one in models:
        one.set_attn_processor(Scaled())
    compare(models, cross_attention_kwargs={"factor": 0.3})


@torch.no_grad()
def test_members() -> None:
    ours, theirs = pair()
    path = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"
    mine, other = ours.get_submodule(path), theirs.get_submodule(path)
    for name in ("heads", "scale", "residual_connection", "rescale_output_factor", "spatial_norm"):
        assert getattr(mine, name) == getattr(other, name)
    for name in ("group_norm", "norm_cross", "upcast_attention", "cross_attention_dim"):
        assert getattr(mine, name) == getattr(other, name)
    assert [type(one) for one in mine.to_out] == [type(one) for one in other.to_out]
    tokens, mask = torch.randn(2, 5, 16), torch.randn(2, 1, 5)
    for options in ({}, {"out_dim": 4}):
        split = mine.head_to_batch_dim(tokens, **options)
        assert torch.equal(split, other.head_to_batch_dim(tokens, **options))
        for length in (5, 7):
            made = (one.prepare_attention_mask(mask, length, 2, **options) for one in (mine, other))
            assert torch.equal(*made)
    heads = mine.head_to_batch_dim(tokens)
    assert torch.equal(mine.batch_to_head_dim(heads), other.batch_to_head_dim(heads))
    bias = mine.prepare_attention_mask(mask, 5, 2)
    for given in (None, bias):
        close(*(one.get_attention_scores(heads, heads, given) for one in (mine, other)))


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
