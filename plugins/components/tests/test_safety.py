"""Looking at images before they are given out."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe_components import safety
from autopipe_components.safety import blackened, check_safety

FLAGS = [False, True]


@pytest.mark.parametrize(
    "images",
    [torch.ones(2, 3, 4, 4), np.ones((2, 4, 4, 3)), [np.ones((4, 4, 3)), np.ones((2, 2, 3))]],
    ids=["tensor", "array", "list"],
)
def test_flagged_images_become_black_in_a_copy(images, caplog):
    with caplog.at_level(logging.WARNING):
        black = blackened(images, FLAGS, "dogs")
    assert [float(one.sum()) for one in black] == [48, 0]
    assert all(float(one.sum()) > 0 for one in images)
    assert "found dogs in 1 of 2 images" in caplog.text
    assert blackened(images, [False, False], "dogs") is images


def test_an_absent_checker_is_told_once_for_each_class(caplog):
    safety._warn_unchecked.cache_clear()
    for name in ("A", "A", "B"):
        check_safety(name, None, None, required=True, license_of="the model")
        check_safety(name, None, None, required=False, license_of="the model")
    assert [record.getMessage()[:5] for record in caplog.records] == ["A has", "B has"]


def test_a_checker_must_see():
    with pytest.raises(ArgumentError, match="feature_extractor"):
        check_safety("A", object(), None, required=True, license_of="the model")
    check_safety("A", object(), object(), required=True, license_of="the model")
