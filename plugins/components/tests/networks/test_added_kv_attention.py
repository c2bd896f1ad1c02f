from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.networks.added_kv_attention import AddedKVAttention, AddedKVOptions
from autopipe_components.networks.attention import set_attention_slices
from autopipe_components.networks.conditioning import Conditioning

OPTIONS = AddedKVOptions(head_dim=3, context_dim=64, groups=2)
KINDS = [OPTIONS, replace(OPTIONS, only_cross_attention=True, prompt_norm="group_norm")]


@pytest.fixture(params=KINDS, ids=["both", "prompt"])
def layer(request: pytest.FixtureRequest) -> AddedKVAttention:
    torch.manual_seed(0)
    return AddedKVAttention(6, request.param)


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(2, 6, 2, 3)


def conditions(tokens: int = 4, context: Tensor | None = None) -> Conditioning:
    if context is None:
        context = torch.randn(2, tokens, 64)
    return Conditioning(time=torch.zeros(2, 1), context=context)


def by_the_book(layer: AddedKVAttention, x: Tensor, context: Tensor) -> Tensor:
    """One softmax over the prompt and, unless they are left out, the pixels, for each head."""
    if layer.norm_cross is not None:
        context = layer.norm_cross(context)
    tokens = layer.group_norm(x).flatten(2).mT
    key, value = layer.add_k_proj(context), layer.add_v_proj(context)
    if layer.to_k is not None and layer.to_v is not None:
        key = torch.cat((key, layer.to_k(tokens)), dim=1)
        value = torch.cat((value, layer.to_v(tokens)), dim=1)
    heads = [
        (q @ k.mT / math.sqrt(3)).softmax(dim=-1) @ v
        for q, k, v in zip(*(made.split(3, dim=-1) for made in (layer.to_q(tokens), key, value)))
    ]
    return x + layer.to_out[0](torch.cat(heads, dim=-1)).mT.unflatten(2, x.shape[-2:])


def test_it_is_the_formula(layer: AddedKVAttention, pixels: Tensor) -> None:
    cond = conditions()
    assert cond.context is not None
    torch.testing.assert_close(layer(pixels, cond), by_the_book(layer, pixels, cond.context))


def test_it_is_added_to_its_input(layer: AddedKVAttention, pixels: Tensor) -> None:
    for parameter in layer.to_out.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(layer(pixels, conditions()), pixels)


@pytest.mark.parametrize("name", ["context_bias", "self_bias"])
def test_a_masked_token_might_as_well_be_absent(pixels: Tensor, name: str) -> None:
    # Without a norm of the prompt, which takes the mean over masked tokens too.
    layer = AddedKVAttention(6, OPTIONS)
    context = torch.randn(2, 4, 64)
    bias = torch.tensor([0.0, 0.0, -10000.0, -10000.0]).expand(2, 1, 4)
    masked = layer(pixels, replace(conditions(context=context), **{name: bias}))
    torch.testing.assert_close(masked, layer(pixels, conditions(context=context[:, :2])))


@pytest.mark.parametrize("masked", [False, True])
def test_slices_give_the_same_numbers(
    layer: AddedKVAttention, pixels: Tensor, masked: bool
) -> None:
    cond = conditions()
    if masked:
        cond = replace(cond, context_bias=torch.randn(2, 1, 4))
    whole = layer(pixels, cond)
    set_attention_slices(layer, 1)
    torch.testing.assert_close(layer(pixels, cond), whole)


def test_the_norm_of_the_prompt_spans_all_its_tokens() -> None:
    layer = AddedKVAttention(6, KINDS[1])
    assert layer.norm_cross is not None
    normed = layer.norm_cross(torch.randn(1, 5, 64) * 7 + 3).unflatten(2, (32, 2))
    torch.testing.assert_close(normed.mean(dim=(1, 3)), torch.zeros(1, 32), atol=1e-5, rtol=0)
    variance = normed.var(dim=(1, 3), unbiased=False)
    # The norm adds 1e-5 to the variance it divides by.
    torch.testing.assert_close(variance, torch.ones(1, 32), atol=1e-4, rtol=0)


def test_a_prompt_that_does_not_fit_is_described(layer: AddedKVAttention, pixels: Tensor) -> None:
    with pytest.raises(ArgumentError, match="pass encoder_hidden_states"):
        layer(pixels, Conditioning(time=torch.zeros(2, 1)))
    with pytest.raises(ArgumentError, match=r"needs \(2, tokens, 64\)"):
        layer(pixels, conditions(context=torch.zeros(2, 4, 63)))
    with pytest.raises(ArgumentError, match="mask is for 5 tokens, but there are 4"):
        layer(pixels, replace(conditions(), context_bias=torch.zeros(2, 1, 5)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head_dim": 4}, "attention_head_dim is 4.*the 6 channels"),
        ({"prompt_norm": "layer_norm"}, "cross_attention_norm is 'layer_norm'"),
        ({"prompt_norm": "group_norm", "context_dim": 40}, "32 groups.*cross_attention_dim 40"),
    ],
)
def test_options_that_contradict_each_other(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AddedKVAttention(6, replace(OPTIONS, **changes))
