"""Attention over two streams, and the blocks that have it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autopipe.errors import ArgumentError
from autopipe_components.dit import (
    ContinuousNorm,
    JointAttention,
    JointBlock,
    TimeTextEmbedding,
    ZeroNorm,
    grid_positions,
    rotary_waves,
)
from autopipe_components.dit.blocks import within_half
from autopipe_components.networks.attention_processors import JointAttnProcessor2_0
from autopipe_components.networks.attentive import Attentive


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def streams(tokens=4, told=3, width=8):
    return torch.randn(2, tokens, width), torch.randn(2, told, width)


def attention(**options):
    return JointAttention(8, heads=2, head_dim=4, **{"context_dim": 8, **options})


def test_both_streams_attend_to_both():
    layer, (tokens, context) = attention(), streams()
    seen, told = layer(tokens, context)
    assert (seen.shape, told.shape) == (tokens.shape, context.shape)
    changed = context + 1
    assert not torch.allclose(seen, layer(tokens, changed)[0])
    assert not torch.allclose(told, layer(tokens + 1, context)[1])


def test_equal_projections_make_it_plain_attention_over_the_joined_tokens():
    layer, (tokens, context) = attention(norm_eps=1e-6), streams()
    for own, added in (
        ("to_q", "add_q_proj"), ("to_k", "add_k_proj"), ("to_v", "add_v_proj"),
        ("norm_q", "norm_added_q"), ("norm_k", "norm_added_k"),
    ):  # fmt: skip
        getattr(layer, added).load_state_dict(getattr(layer, own).state_dict())
    layer.to_add_out.load_state_dict(layer.to_out[0].state_dict())
    rotary = rotary_waves(grid_positions((7,)), (4,))
    seen, told = layer(tokens, context, image_rotary_emb=rotary)
    joined = layer(torch.cat([context, tokens], dim=1), image_rotary_emb=rotary)
    # Products of other shapes are summed in another order.
    assert torch.allclose(torch.cat([told, seen], dim=1), joined, atol=1e-6)


def test_the_last_layer_does_not_return_the_context_and_others_leave_projecting_to_their_block():
    tokens, context = streams()
    last = attention(projects_context=False)
    assert last.context_pre_only
    assert last(tokens, context)[1] is None
    bare = attention(context_dim=None, projects_out=False)
    assert not any("out" in name for name in bare.state_dict())
    assert bare(tokens).shape == tokens.shape


def test_a_mask_hides_tokens_of_either_stream():
    layer, (tokens, context) = attention(), streams()
    bias = torch.zeros(2, 1, 7)
    bias[:, :, 0] = -1e9
    hidden = layer(tokens, context, bias)[0]
    changed = context.clone()
    changed[:, 0] += 1
    assert torch.allclose(hidden, layer(tokens, changed, bias)[0])
    with pytest.raises(ArgumentError, match="one value for each"):
        layer(tokens, context, bias[..., 1:])


@pytest.mark.parametrize("wrong", [torch.zeros(1, 3, 8), torch.zeros(2, 3, 9), torch.zeros(2, 8)])
def test_a_context_of_another_shape_is_refused(wrong):
    with pytest.raises(ArgumentError, match="encoder_hidden_states"):
        attention()(streams()[0], wrong)


class Net(Attentive):
    def __init__(self):
        super().__init__()
        self.block = JointBlock(8, heads=2, head_dim=4, norm_eps=1e-6)


def test_processors_of_users_compute_it_and_get_what_it_gets():
    net, (tokens, context), condition = Net(), streams(), torch.randn(2, 8)
    rotary = rotary_waves(grid_positions((7,)), (4,))
    expected = net.block(tokens, context, condition, rotary)
    got = []

    class Own:
        def __call__(
            self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None,
            image_rotary_emb=None, loud=None,
        ):  # fmt: skip
            got.append((image_rotary_emb, loud))
            return attn.compute(
                hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb
            )

    assert list(net.attn_processors) == ["block.attn.processor"]
    net.set_attn_processor(Own())
    found = net.block(tokens, context, condition, rotary, {"loud": 3})
    assert got == [(rotary, 3)]
    assert all(torch.equal(*pair) for pair in zip(found, expected))
    net.set_default_attn_processor()
    assert type(net.block.attn.processor) is JointAttnProcessor2_0
    net.set_attn_processor(JointAttnProcessor2_0())
    assert torch.equal(net.block(tokens, context, condition, rotary)[0], expected[0])
    with pytest.raises(ArgumentError, match="can't be fused"):
        net.fuse_qkv_projections()


def test_attention_in_slices_gives_the_same():
    layer, (tokens, context) = attention(), streams()
    whole = layer(tokens, context)[0]
    layer.slice_size = 1
    assert torch.allclose(layer(tokens, context)[0], whole, atol=1e-6)


def test_a_block_whose_gates_are_zero_changes_nothing():
    block, (tokens, context) = JointBlock(8, heads=2, head_dim=4), streams()
    for norm in (block.norm1, block.norm1_context):
        nn.init.zeros_(norm.linear.weight)
        nn.init.zeros_(norm.linear.bias)
    seen, told = block(tokens, context, torch.randn(2, 8))
    assert torch.equal(seen, tokens)
    assert torch.equal(told, context)


def test_the_last_block_reads_the_context_alone():
    block, (tokens, context) = JointBlock(8, heads=2, head_dim=4, is_last=True), streams()
    assert isinstance(block.norm1_context, ContinuousNorm)
    assert not any(
        name.startswith(("ff_context", "norm2_context", "attn.to_add_out"))
        for name in block.state_dict()
    )
    condition = torch.randn(2, 8)
    seen, told = block(tokens, context, condition)
    assert told is None
    assert not torch.allclose(seen, block(tokens, context + torch.randn(8), condition)[0])


def test_norms_shift_and_scale_by_the_condition():
    tokens, condition = torch.randn(2, 4, 8), torch.randn(2, 8)
    norm, last = ZeroNorm(8, parts=3), ContinuousNorm(8)
    normed, gate = norm(tokens, condition)
    shift, scale, same = norm.vectors(condition)
    assert torch.equal(gate, same)
    assert torch.allclose(normed, norm.norm(tokens) * (1 + scale) + shift)
    scale, shift = last.linear(nn.functional.silu(condition)).chunk(2, dim=1)
    expected = last.norm(tokens) * (1 + scale[:, None]) + shift[:, None]
    assert torch.allclose(last(tokens, condition), expected, atol=1e-6)


def test_the_guidance_scale_is_embedded_by_networks_that_take_it_and_no_others():
    times, pooled, scales = torch.tensor([500.0]), torch.randn(1, 6), torch.tensor([3500.0])
    plain, guided = TimeTextEmbedding(8, 6), TimeTextEmbedding(8, 6, guided=True)
    assert plain(times, pooled).shape == (1, 8)
    assert not torch.allclose(guided(times, pooled, scales), guided(times, pooled, 2 * scales))
    with pytest.raises(ArgumentError, match="leave it out"):
        plain(times, pooled, scales)
    with pytest.raises(ArgumentError, match="pass guidance"):
        guided(times, pooled)


def test_half_precision_has_no_infinities():
    large = torch.tensor([1e6, -1e6, 1.0])
    assert within_half(large.half()).tolist() == [65504.0, -65504.0, 1.0]
    assert torch.equal(within_half(large), large)
