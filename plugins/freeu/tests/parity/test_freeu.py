"""FreeU against the reference: in U-Nets, and in pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.networks import twins
from support.tiny import UNET, WIDTH

import autopipe
from autopipe import UNet2DConditionModel

pytestmark = pytest.mark.parity

FACTORS = {"s1": 0.8, "s2": 0.3, "b1": 1.4, "b2": 1.2}
# The same sums in another order, through a Fourier transform.
TOLERANCE = 1e-4


@torch.no_grad()
@pytest.mark.parametrize("size", [(8, 8), (9, 7), (1, 3)], ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "block_out_channels": (16, 32, 32),
            "down_block_types": ("CrossAttnDownBlock2D",) * 2 + ("DownBlock2D",),
            "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 2,
            "layers_per_block": (1, 2, 1),
        },
    ],
    ids=["two levels", "three"],
)
def test_unet(changes: dict[str, Any], size: tuple[int, int]) -> None:
    ours, theirs = twins(UNet2DConditionModel, **{**UNET, **changes})
    given = torch.randn(2, 4, *size), 500, torch.randn(2, 5, WIDTH)
    plain = theirs(*given).sample
    for one in (ours, theirs):
        one.enable_freeu(**FACTORS)
    expected = theirs(*given).sample
    assert (expected - plain).abs().max() > 1e-3 * plain.abs().max()
    torch.testing.assert_close(ours(*given).sample, expected, rtol=TOLERANCE, atol=TOLERANCE)
    for one in (ours, theirs):
        one.disable_freeu()
    torch.testing.assert_close(ours(*given).sample, plain, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("name", ["StableDiffusionPipeline", "StableDiffusionXLPipeline"])
def test_pipelines(
    build: Callable[..., Any],
    draw: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    name: str,
) -> None:
    ours = build(getattr(autopipe, name))
    theirs = reference(ours)
    plain = draw(ours)
    for one in (ours, theirs):
        one.enable_freeu(**FACTORS)
    found, expected = draw(ours), draw(theirs)
    assert abs(found - plain).max() > 1e-3
    assert record(f"{name} with FreeU", found, expected) < TOLERANCE
    for one in (ours, theirs):
        one.disable_freeu()
    assert record(f"{name} after FreeU", draw(ours), draw(theirs)) < TOLERANCE
