"""Looking at images before they are given out."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components import safety
from autopipe_components.safety import blackened, check_images, check_safety

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


IMAGES = torch.ones(2, 3, 4, 4)


def look(checker, kinds=1, extractor=None):
    place = {"device": "cpu", "dtype": torch.float32}
    return check_images(checker, extractor, IMAGES, lambda: ["pictures"], kinds=kinds, **place)


@pytest.mark.parametrize(
    "flags",
    [[False, True], (0, 1), np.array([False, True]), torch.tensor([0, 1]), [False, np.True_]],
)
def test_a_function_may_look_at_images(flags):
    images, found = look(lambda images, **k: (images, flags))
    assert images is IMAGES
    assert found == [False, True]


@pytest.mark.parametrize(("one", "each"), [(False, False), (None, False), (True, True)])
def test_one_flag_may_stand_for_all(one, each):
    assert look(lambda images, clip_input: [images, one])[1] == [each, each]
    assert look(lambda images, **k: (images, one, [False, True]), 2)[1:] == (
        [each, each],
        [False, True],
    )


def test_it_sees_what_the_extractor_makes():
    class Seen(dict):
        pixel_values = torch.zeros(2, 3, 2, 2, dtype=torch.float64)

    def extract(pictures, return_tensors):
        assert pictures == ["pictures"]
        return Seen()

    def checker(images, clip_input):
        assert clip_input.dtype == torch.float32
        return images, [True, True]

    assert look(checker, extractor=extract)[1] == [True, True]
    assert check_safety("A", checker, None, required=True, license_of="the model") is None


@pytest.mark.parametrize(
    "returned",
    [None, IMAGES, (IMAGES,), (IMAGES, [False]), (IMAGES, 5), (IMAGES, "no\x1b"), (None, [False]),
     (IMAGES, [False, torch.zeros(2)]), (IMAGES, [False] * 2, [False] * 2), "x" * 10_000],
    ids=range(10),
)  # fmt: skip
def test_what_it_returns_is_checked(returned):
    with pytest.raises(ArgumentTypeError, match="safety checker") as caught:
        look(lambda images, **k: returned)
    assert len(str(caught.value)) < 500


def test_its_own_errors_pass():
    with pytest.raises(ZeroDivisionError):
        look(lambda images, **k: 1 / 0)
