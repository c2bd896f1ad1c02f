"""Rotary positions over several axes."""

from __future__ import annotations

import math

import torch

from autopipe_components.dit import grid_positions, rotary_waves, rotated


def test_a_grid_lists_its_cells_row_by_row_from_its_start():
    found = grid_positions((1, 2, 3), start=(5, 0, 0))
    assert found.tolist() == [[5, row, column] for row in range(2) for column in range(3)]
    assert grid_positions((2,)).tolist() == [[0], [1]]


def test_each_axis_turns_its_own_part_of_a_head_by_its_own_frequencies():
    cosines, sines = rotary_waves(torch.tensor([[2.0, 3.0]]), (2, 4), theta=100.0)
    # Two pairs have frequencies 1 and 1 / sqrt(100), in the part of four values.
    angles = [2.0, 2.0, 3.0, 3.0, 0.3, 0.3]
    assert torch.allclose(cosines[0], torch.tensor(angles).cos())
    assert torch.allclose(sines[0], torch.tensor(angles).sin())
    assert cosines.dtype == torch.float32


def test_neighbours_are_the_pairs_that_turn():
    heads = torch.tensor([1.0, 0.0]).reshape(1, 1, 1, 2)
    quarter = rotary_waves(torch.tensor([[math.pi / 2]]), (2,))
    assert torch.allclose(rotated(heads, quarter).flatten(), torch.tensor([0.0, 1.0]), atol=1e-6)
    assert rotated(heads.bfloat16(), quarter).dtype == torch.bfloat16


def test_scores_depend_on_the_distance_alone():
    query, key = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0))

    def score(here: float, there: float) -> torch.Tensor:
        waves = [rotary_waves(torch.tensor([[place, 0.0]]), (4, 4)) for place in (here, there)]
        return (rotated(query, waves[0]) * rotated(key, waves[1])).sum()

    # Rounding of sines alone.
    assert torch.allclose(score(1, 4), score(101, 104), atol=1e-5)
    assert not torch.allclose(score(1, 4), score(1, 5), atol=1e-3)


def test_samples_may_have_positions_of_their_own():
    positions = torch.tensor([[[0.0], [1.0]], [[0.0], [2.0]]])
    heads = torch.randn(2, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    found = rotated(heads, rotary_waves(positions, (4,)))
    for i in range(2):
        alone = rotated(heads[i : i + 1], rotary_waves(positions[i], (4,)))
        assert torch.equal(found[i : i + 1], alone)
