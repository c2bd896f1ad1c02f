"""The network against diffusers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.networks import assert_close, assert_same_names, twins

from autopipe import ZImageTransformer2DModel

from ..conftest import TRANSFORMER, WIDTH

pytestmark = pytest.mark.parity

TURBO = {
    "all_f_patch_size": [1],
    "all_patch_size": [2],
    "axes_dims": [32, 48, 48],
    "axes_lens": [1536, 512, 512],
    "cap_feat_dim": 2560,
    "dim": 3840,
    "in_channels": 16,
    "n_heads": 30,
    "n_kv_heads": 30,
    "n_layers": 30,
    "n_refiner_layers": 2,
    "norm_eps": 1e-05,
    "qk_norm": True,
    "rope_theta": 256.0,
    "t_scale": 1000.0,
}
"""The config of the published Z-Image-Turbo."""

PATCHES = {"all_patch_size": (2, 1), "all_f_patch_size": (1, 2)}


@pytest.mark.parametrize("config", [TURBO, {}, {**TRANSFORMER, **PATCHES, "qk_norm": False}])
def test_weights_have_the_same_names(config: dict[str, Any]) -> None:
    assert_same_names(ZImageTransformer2DModel, config)


@pytest.mark.parametrize(
    ("sizes", "lengths", "config"),
    [
        ([(1, 8, 8)], [32], {}),
        ([(1, 8, 8), (1, 8, 8)], [7, 40], {}),
        ([(1, 8, 8), (1, 12, 20)], [33, 1], {"qk_norm": False}),
        ([(4, 6, 4)], [5], PATCHES),
    ],
)
def test_predictions(
    sizes: list[tuple[int, ...]], lengths: list[int], config: dict[str, Any]
) -> None:
    ours, reference = twins(ZImageTransformer2DModel, **{**TRANSFORMER, **config})
    source = torch.Generator().manual_seed(1)
    images = [torch.randn(4, *size, generator=source) for size in sizes]
    captions = [torch.randn(n, WIDTH, generator=source) for n in lengths]
    times = torch.rand(len(sizes), generator=source)
    chosen = {"patch_size": 1, "f_patch_size": 2} if config is PATCHES else {}
    found = ours(images, times, captions, **chosen).sample
    expected = reference(images, times, captions, **chosen).sample
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        assert_close(one, other)
