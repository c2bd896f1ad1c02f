"""Attention while the exporter writes operators of ONNX Runtime."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from autopipe_onnx.operators import OfRuntime


@pytest.mark.parametrize("masked", [False, True])
def test_attention_gives_the_same_with_and_without_a_mask(masked: bool) -> None:
    query, key, value = torch.randn(3, 2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(6, 6, dtype=torch.bool).tril() if masked else None
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    with OfRuntime():
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert torch.equal(found, expected)
