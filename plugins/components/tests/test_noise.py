"""Noise is reproducible, per sample where asked, and refuses what it can't draw."""

from __future__ import annotations

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe_components.noise import randn_tensor


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_same_seed_gives_the_same_noise() -> None:
    first, second = (randn_tensor((2, 3), seeded(1)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, randn_tensor((2, 3), seeded(2)))


def test_each_sample_has_its_own_generator() -> None:
    batch = randn_tensor((2, 3, 4), [seeded(1), seeded(2)])
    for row, seed in zip(batch, (1, 2)):
        assert torch.equal(row, randn_tensor((1, 3, 4), seeded(seed))[0])


def test_a_list_of_one_is_a_single_generator() -> None:
    assert torch.equal(randn_tensor((3, 2), [seeded(1)]), randn_tensor((3, 2), seeded(1)))


def test_dtype_is_kept() -> None:
    assert randn_tensor((2, 2), seeded(0), dtype=torch.float16).dtype == torch.float16


def test_generator_lists_fit_the_batch() -> None:
    with pytest.raises(ArgumentError, match="list of 2 for a batch of 3"):
        randn_tensor((3, 2), [seeded(0), seeded(1)])


def test_a_generator_of_the_cpu_draws_for_every_device() -> None:
    assert randn_tensor((2, 2), seeded(0), device="meta").device.type == "meta"
