"""Blocks of which one stream also attends to itself alone."""

from __future__ import annotations

import torch

from autopipe_components.dit import DualBlock, DualNorm, JointBlock

TOKENS, CONTEXT, CONDITION = (
    torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    for shape in ((2, 4, 8), (2, 3, 8), (2, 8))
)


def make(kind, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(8, heads=2, head_dim=4, **options)


def test_the_norm_modulates_the_tokens_twice():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        norm = DualNorm(8)
    first, *_, second, gate = norm(TOKENS, CONDITION)
    parts = norm.vectors(CONDITION)
    normed = norm.norm(TOKENS)
    assert len(parts) == 9
    assert torch.equal(first, normed * (1 + parts[1]) + parts[0])
    assert torch.equal(second, normed * (1 + parts[7]) + parts[6])
    assert torch.equal(gate, parts[8])


def test_the_second_attention_is_added_and_sees_one_stream():
    block = make(DualBlock, norm_eps=1e-6)
    plain = make(JointBlock, norm_eps=1e-6)
    weights = block.state_dict()
    # The rows of the first six parts are those of the plain norm.
    weights["norm1.linear.weight"] = weights["norm1.linear.weight"][:48]
    weights["norm1.linear.bias"] = weights["norm1.linear.bias"][:48]
    plain.load_state_dict({n: one for n, one in weights.items() if not n.startswith("attn2")})
    found, expected = (one(TOKENS, CONTEXT, CONDITION) for one in (block, plain))
    assert not torch.allclose(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    torch.nn.init.zeros_(block.attn2.to_out[0].weight)
    torch.nn.init.zeros_(block.attn2.to_out[0].bias)
    assert torch.equal(block(TOKENS, CONTEXT, CONDITION)[0], expected[0])


def test_the_last_block_reads_the_context_and_does_not_return_it():
    assert make(DualBlock, is_last=True)(TOKENS, CONTEXT, CONDITION)[1] is None
