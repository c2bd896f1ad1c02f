"""Half precision against diffusers, with an autoencoder that asks for float32."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.parity import generators

pytestmark = pytest.mark.parity

HALF = {dtype: 16 * torch.finfo(dtype).eps / 2 for dtype in (torch.float16, torch.bfloat16)}
"""What images in [0, 1] may differ by: sixteen roundings, as guidance of 7.5 magnifies them."""


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("force", [True, False])
def test_half_precision(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    task: Any,
    dtype: torch.dtype,
    force: bool,
) -> None:
    whole = build(task.kind).components
    parts = {n: copy.deepcopy(m) for n, m in whole.items() if isinstance(m, torch.nn.Module)}
    parts["vae"].register_to_config(force_upcast=force)
    ours = build(task.kind, **parts)
    theirs = reference(ours)
    # Both cast their own: what is taken from transformers is shared.
    for pipe in (ours, theirs):
        pipe.to(dtype)
    call = {**task.call, "output_type": "latent"}
    images = [pipe("a cat", **task.call, generator=generators(0)).images for pipe in (ours, theirs)]
    latents = [pipe("a cat", **call, generator=generators(0)).images for pipe in (ours, theirs)]
    assert images[0].dtype == images[1].dtype
    assert latents[0].dtype == latents[1].dtype == dtype
    found = record(f"in {dtype}", images[0].float(), images[1].float())
    assert found <= HALF[dtype]
