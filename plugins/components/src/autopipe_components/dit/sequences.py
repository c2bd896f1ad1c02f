"""Sequences of tokens that differ in length, in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Sequences:
    """The sequences of a batch, in one tensor.

    Attributes:
        values: the tokens, (B, N, width).
        positions: (B, N, axes), for `rotary_waves`.
        lengths: the length of each sequence; layers must not attend to what follows it.
    """

    values: Tensor
    positions: Tensor
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, values: Sequence[Tensor], positions: Sequence[Tensor]) -> Sequences:
        """Return the batch of sequences (N, width) and their positions (N, axes)."""
        joined, places = (pad_sequence(list(one), batch_first=True) for one in (values, positions))
        return cls(joined, places, tuple(map(len, values)))

    @classmethod
    def filled(
        cls, values: Sequence[Tensor], positions: Sequence[Tensor], fill: Tensor, multiple: int
    ) -> Sequences:
        """Return the batch of sequences, each filled up to a multiple of a number.

        What fills them belongs to them: layers attend to it.

        Args:
            values: (N, width) each.
            positions: of each; those that lack are 0.
            fill: the token (1, width) that fills.
            multiple: what the lengths are multiples of.
        """
        full = [
            torch.cat([one, fill.to(one).expand(filled_length(len(one), multiple) - len(one), -1)])
            for one in values
        ]
        places = [
            torch.cat([own, own.new_zeros(len(one) - len(own), own.shape[1])])
            for one, own in zip(full, positions)
        ]
        return cls.of(full, places)

    def replaced(self, values: Tensor) -> Sequences:
        """Return the same sequences with other `values`."""
        return Sequences(values, self.positions, self.lengths)

    def followed_by(self, other: Sequences) -> Sequences:
        """Return the sequences, each followed by that of `other`."""

        def joined(first: Tensor, second: Tensor) -> list[Tensor]:
            both = zip(first, self.lengths, second, other.lengths)
            return [torch.cat([a[:n], b[:k]]) for a, n, b, k in both]

        return Sequences.of(
            joined(self.values, other.values), joined(self.positions, other.positions)
        )

    def bias(self) -> Tensor | None:
        """Return what hides the ends, (B, 1, N), to be added to scores; None if nothing does."""
        longest = max(self.lengths)
        if min(self.lengths) == longest:
            return None
        device = self.values.device
        ends = torch.tensor(self.lengths, device=device)
        hidden = torch.arange(longest, device=device) >= ends[:, None]
        bias = torch.zeros(hidden.shape, dtype=self.values.dtype, device=device)
        return bias.masked_fill(hidden, float("-inf"))[:, None]


def filled_length(count: int, multiple: int) -> int:
    """Return the length of a sequence of `count` tokens, filled up to a multiple of a number."""
    return -(-count // multiple) * multiple
