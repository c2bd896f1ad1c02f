from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from autopipe.errors import ArgumentError
from autopipe_components.networks.attention import (
    Attention,
    SpatialAttention,
    set_attention_slices,
)


@pytest.fixture
def attention() -> Attention:
    torch.manual_seed(0)
    return Attention(8, heads=2, head_dim=3, context_dim=5)


def by_the_book(layer: Attention, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
    """softmax(q k' / sqrt(d)) v for each head, written out."""
    heads = []
    for q, k, v in zip(
        *(
            made.chunk(layer.heads, dim=-1)
            for made in (layer.to_q(x), layer.to_k(context), layer.to_v(context))
        )
    ):
        heads.append((q @ k.mT / math.sqrt(q.shape[-1])).softmax(dim=-1) @ v)
    return layer.to_out[0](torch.cat(heads, dim=-1))


def test_it_is_the_formula(attention: Attention) -> None:
    x, context = torch.randn(2, 4, 8), torch.randn(2, 7, 5)
    torch.testing.assert_close(attention(x, context), by_the_book(attention, x, context))


def test_a_masked_token_might_as_well_be_absent(attention: Attention) -> None:
    x, context = torch.randn(2, 4, 8), torch.randn(2, 7, 5)
    bias = torch.zeros(2, 1, 7)
    bias[..., 4:] = -10000.0
    torch.testing.assert_close(attention(x, context, bias), attention(x, context[:, :4]))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("masked", [False, True])
def test_slices_give_the_same_numbers(attention: Attention, size: int, masked: bool) -> None:
    x, context = torch.randn(3, 4, 8), torch.randn(3, 7, 5)
    bias = torch.randn(3, 1, 7) if masked else None
    whole = attention(x, context, bias)
    set_attention_slices(attention, size)
    torch.testing.assert_close(attention(x, context, bias), whole)


@pytest.mark.parametrize("upcast", [False, True])
@pytest.mark.parametrize("size", [None, 1])
def test_half_precision_scores_beyond_its_range(upcast: bool, size: int | None) -> None:
    torch.manual_seed(0)
    layer = Attention(8, heads=1, head_dim=8, upcast=upcast).half()
    nn.init.eye_(layer.to_q.weight)
    nn.init.eye_(layer.to_k.weight)
    set_attention_slices(layer, size)
    # q k' is 8 * 300 ** 2, eleven times the largest float16.
    assert layer(torch.full((1, 4, 8), 300.0, dtype=torch.half)).isfinite().all()


@pytest.mark.parametrize(
    "shape", [(2, 7, 6), (1, 7, 5), (2, 5)], ids=["width", "batch", "dimensions"]
)
def test_a_context_that_does_not_fit_is_described(
    attention: Attention, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ArgumentError, match=r"needs \(2, tokens, 5\)"):
        attention(torch.zeros(2, 4, 8), torch.zeros(shape))


def test_a_missing_context_is_named(attention: Attention) -> None:
    with pytest.raises(ArgumentError, match="pass encoder_hidden_states"):
        attention(torch.zeros(2, 4, 8))


def test_a_mask_of_another_length_is_refused(attention: Attention) -> None:
    with pytest.raises(ArgumentError, match="mask is for 6 tokens, but there are 7"):
        attention(torch.zeros(2, 4, 8), torch.zeros(2, 7, 5), torch.zeros(2, 1, 6))


@pytest.mark.parametrize(
    ("asked", "found"),
    [("auto", [2, 1, 1]), ("max", [1, 1, 1]), (1, [1, 1, 1]), (None, [None] * 3)],
)
def test_sizes_of_slices(asked: Any, found: list[int | None]) -> None:
    layers = nn.ModuleList(Attention(8, heads=heads, head_dim=1) for heads in (4, 2, 1))
    set_attention_slices(layers, asked)
    assert [layer.slice_size for layer in layers] == found


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (3, "slice_size is 3.*has 2 heads"),
        (0, "slice_size is 0"),
        ([1], "1 slice sizes.*2 attention layers"),
        ("half", "'half'"),
    ],
)
def test_a_refused_size_changes_no_layer(asked: Any, message: str) -> None:
    layers = nn.ModuleList(Attention(8, heads=heads, head_dim=1) for heads in (4, 2))
    with pytest.raises(ArgumentError, match=message):
        set_attention_slices(layers, asked)
    assert all(layer.slice_size is None for layer in layers)


def test_attention_over_pixels_is_added_to_them() -> None:
    layer = SpatialAttention(8, heads=2, groups=4, eps=1e-6)
    x = torch.randn(2, 8, 3, 5)
    assert layer(x).shape == x.shape
    assert not torch.equal(layer(x), x)
    for parameter in layer.to_out.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(layer(x), x)


def test_pixels_keep_their_places() -> None:
    torch.manual_seed(0)
    layer = SpatialAttention(8, heads=2, groups=4, eps=1e-6)
    x = torch.randn(1, 8, 3, 5)
    torch.testing.assert_close(layer(x.flip(2, 3)), layer(x).flip(2, 3))
