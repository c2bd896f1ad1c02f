"""Layerwise casting and fused projections against the reference."""

from __future__ import annotations

import pytest
import torch

from .test_unet import THREE, compare, pair

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.bfloat16], ids=str)
def test_layerwise_casting(dtype: torch.dtype) -> None:
    models = pair(**THREE)
    for one in models:
        one.enable_layerwise_casting(storage_dtype=dtype, compute_dtype=torch.float32)
    ours, theirs = models
    assert {n: t.dtype for n, t in ours.state_dict().items()} == {
        n: t.dtype for n, t in theirs.state_dict().items()
    }
    assert ours.dtype == theirs.dtype
    compare(models)


def test_fused_projections() -> None:
    models = pair(**THREE)
    for one in models:
        one.fuse_qkv_projections()
    compare(models)
    for one in models:
        one.unfuse_qkv_projections()
    compare(models)
