"""Inference timesteps descend, lie within the trained ones, and begin and end as they should."""

from __future__ import annotations

import numpy as np
import pytest

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.spacing import SPACINGS, spaced_timesteps


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_timesteps_descend_within_range(spacing: str, dtype: type) -> None:
    for count in range(1, 1001, 7):
        timesteps = spaced_timesteps(spacing, count, 1000, dtype=dtype)
        assert timesteps.dtype == dtype
        assert len(timesteps) == count
        assert (np.diff(timesteps) < 0).all()
        assert timesteps.min() >= 0
        assert timesteps.max() <= 999


@pytest.mark.parametrize("count", [61, 103, 466, 994])
def test_trailing_has_no_step_too_many(count: int) -> None:
    """For these counts a plain `arange` over the stride ends with one more point, at -1."""
    assert len(np.arange(1000, 0, -1000 / count)) == count + 1
    assert len(spaced_timesteps("trailing", count, 1000)) == count


def test_ends() -> None:
    assert spaced_timesteps("linspace", 5, 1000).tolist()[::4] == [999, 0]
    assert spaced_timesteps("leading", 4, 1000, steps_offset=1).tolist() == [751, 501, 251, 1]
    assert spaced_timesteps("trailing", 4, 1000).tolist() == [999, 749, 499, 249]


def test_leading_needs_as_many_trained_timesteps() -> None:
    with pytest.raises(SchedulerError, match="11 different steps of 10"):
        spaced_timesteps("leading", 11, 10)
