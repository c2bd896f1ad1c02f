"""Other forms of the inputs of a call."""

from __future__ import annotations

import torch

from autopipe_devkit.conformance.given import random_like


def test_random_latents_of_whole_numbers_keep_their_range() -> None:
    like = torch.tensor([[3, 9, 4, 5]]).expand(50, -1)
    found = random_like(like, seed=1)
    assert found.dtype == torch.int64
    assert found.shape == like.shape
    assert found.unique().tolist() == [*range(3, 10)]
    assert random_like(like.float(), seed=1).std() > 0.5
