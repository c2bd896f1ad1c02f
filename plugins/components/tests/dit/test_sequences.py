"""Patches, and sequences that differ in length."""

from __future__ import annotations

import pytest
import torch

from autopipe_components.dit import (
    GatedFeedForward,
    JointAttention,
    Sequences,
    filled_length,
    from_patches,
    grid_of,
    grid_positions,
    rotary_waves,
    to_patches,
)


def test_patches_come_row_by_row_and_back():
    image = torch.arange(2 * 2 * 4 * 6).reshape(2, 2, 4, 6)
    assert grid_of(image, 2) == (2, 2, 3)
    patches = to_patches(image, 2)
    assert patches.shape == (12, 8)
    # The second patch of the first row, with the channels of each cell beside each other.
    cells = image[:, 0, :2, 2:4].permute(1, 2, 0)
    assert torch.equal(patches[1], cells.flatten())
    assert torch.equal(from_patches(patches, (2, 2, 3), 2), image)
    assert torch.equal(from_patches(to_patches(image, 2, 2), (1, 2, 3), 2, 2), image)


@pytest.mark.parametrize(("count", "length"), [(1, 4), (4, 4), (5, 8)])
def test_lengths_are_filled_up(count, length):
    assert filled_length(count, 4) == length


def sequences(*lengths):
    values = [torch.full((n, 2), float(n)) for n in lengths]
    return values, [grid_positions((n, 1), start=(1, 0)) for n in lengths]


def test_what_fills_a_sequence_belongs_to_it():
    values, places = sequences(3, 4)
    made = Sequences.filled(values, places, torch.tensor([[9.0, 9.0]]), 4)
    assert made.lengths == (4, 4)
    assert made.values[0, :, 0].tolist() == [3, 3, 3, 9]
    assert made.positions[0, :, 0].tolist() == [1, 2, 3, 0]
    assert made.bias() is None


def test_sequences_follow_each_other_without_gaps():
    first, second = Sequences.of(*sequences(1, 2)), Sequences.of(*sequences(3, 1))
    whole = first.followed_by(second)
    assert whole.lengths == (4, 3)
    assert whole.values[..., 0].tolist() == [[1, 3, 3, 3], [2, 2, 1, 0]]
    assert whole.positions[..., 0].tolist() == [[1, 1, 2, 3], [1, 2, 1, 0]]
    assert whole.bias()[:, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, float("-inf")]]
    assert whole.replaced(whole.values + 1).lengths == whole.lengths


class Toy(torch.nn.Module):
    """One layer over sequences of any lengths."""

    def __init__(self):
        super().__init__()
        self.attention = JointAttention(4, heads=2, head_dim=2)
        self.feed = GatedFeedForward(4, 6)

    def forward(self, values):
        places = [grid_positions((len(one),)) for one in values]
        made = Sequences.of(values, places)
        waves = rotary_waves(made.positions, (2,))
        seen = self.attention(made.values, attention_mask=made.bias(), image_rotary_emb=waves)
        found = self.feed(made.values + seen)
        return [one[:n] for one, n in zip(found, made.lengths)]


def test_a_sequence_does_not_see_how_long_the_others_are():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        toy, values = Toy(), [torch.randn(n, 4) for n in (2, 5, 3)]
    for one, found in zip(values, toy(values)):
        # Products of other shapes are summed in another order.
        assert torch.allclose(found, toy([one])[0], atol=1e-6)
