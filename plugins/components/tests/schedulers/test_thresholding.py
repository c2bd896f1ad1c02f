"""Dynamic thresholding bounds samples one by one and leaves those within bounds alone."""

from __future__ import annotations

import torch

from autopipe_components.schedulers.thresholding import threshold


def test_samples_end_in_the_unit_range_each_by_its_own_quantile() -> None:
    calm = torch.linspace(-0.5, 0.5, 48).reshape(1, 3, 4, 4)
    wild = 10 * calm
    bounded = threshold(torch.cat([calm, wild]), ratio=0.9, max_value=100.0)
    assert torch.equal(bounded[:1], calm)
    assert bounded.abs().max() == 1
    assert (bounded[1].abs() == 1).sum() in (4, 5, 6)  # a tenth of 48


def test_the_quantile_has_an_upper_bound() -> None:
    wild = torch.full((1, 4), 50.0)
    assert torch.equal(threshold(wild / 10, 0.5, max_value=2.0), torch.ones(1, 4))


def test_half_precision_is_kept() -> None:
    assert threshold(torch.ones(1, 4, dtype=torch.float16), 0.9, 2.0).dtype == torch.float16
