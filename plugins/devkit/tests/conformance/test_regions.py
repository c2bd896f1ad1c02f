"""Where latents lie in a picture."""

from __future__ import annotations

import torch

from autopipe_devkit.conformance.checks.regions import cells_of


def test_tokens_are_cells_row_by_row() -> None:
    cells = torch.arange(2 * 5 * 2 * 3).reshape(2, 5, 2, 3)
    tokens = cells.flatten(2).transpose(1, 2)
    assert torch.equal(cells_of(tokens, (2, 16, 24, 3)), cells)


def test_other_latents_stay() -> None:
    for latents in (torch.zeros(1, 4, 2, 3), torch.zeros(1, 7, 4)):
        assert cells_of(latents, (1, 16, 24, 3)) is latents
