"""What a call makes of values, by what its signature declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.call import pipeline_call
from autopipe.pipeline.values import readers_of

if TYPE_CHECKING:
    from nowhere import Unknown

Texts = str | list[str]


class Pipe(DiffusionPipeline):
    """Returns its arguments."""

    @pipeline_call
    def __call__(
        self,
        steps: int = 4,
        scale: float = 1.0,
        fast: bool = False,
        prompt: Texts | None = None,
        latents: Tensor | None = None,
        sizes: tuple[int, int] | None = None,
        sigmas: Sequence[float] | None = None,
        scales: float | list[float] = 1.0,
        limit: float = float("inf"),
        images: Any = None,
        other: Unknown = None,
        several: Tensor | list[Tensor] | None = None,
        options: Mapping[str, float] | None = None,
        callback: Callable[..., Any] | None = None,
        *rest: int,
        note: str = "",
        **more: Any,
    ) -> Any:
        return dict(self.call), steps, scale, rest, note, more


def given(**call: Any) -> Any:
    record, *_ = Pipe()(**call)
    (name,) = call
    return record[name]


@pytest.mark.parametrize(
    "value",
    [32, 32.0, np.int64(32), np.uint8(32), np.float32(32), Fraction(32), Decimal(32),
     torch.tensor(32), torch.tensor(32.0), torch.tensor([32]), np.array(32), np.array([32.0])],
    ids=repr,
)  # fmt: skip
def test_whole_numbers_of_every_kind(value: Any) -> None:
    assert (type(given(steps=value)), given(steps=value)) == (int, 32)


@pytest.mark.parametrize(
    "value",
    [7.5, np.float64(7.5), np.float16(7.5), Fraction(15, 2), Decimal("7.5"), torch.tensor(7.5),
     torch.tensor([7.5], dtype=torch.bfloat16), np.array(7.5)],
    ids=repr,
)  # fmt: skip
def test_numbers_of_every_kind(value: Any) -> None:
    assert (type(given(scale=value)), given(scale=value)) == (float, 7.5)
    assert given(scales=value) == 7.5
    assert given(scales=[value, 1]) == [7.5, 1]


@pytest.mark.parametrize(
    "value",
    ["32", b"32", True, np.bool_(True), torch.tensor(True), [32], {}, object(), 1j, 2.5,
     Fraction(1, 3), float("nan"), float("inf"), torch.tensor([1, 2]), torch.tensor(2.5),
     np.array([]), torch.tensor(1.0, device="meta"), torch.ones(1).to_sparse()],
    ids=repr,
)  # fmt: skip
def test_what_is_not_a_whole_number(value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^steps is"):
        given(steps=value)


@pytest.mark.parametrize(
    "value", ["7.5", True, [7.5], None.__class__, 1j, torch.ones(2, 2), np.array(["7.5"])], ids=repr
)
def test_what_is_not_a_number(value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^scale is a"):
        given(scale=value)


@pytest.mark.parametrize("value", [float("nan"), -float("inf"), 10**400, torch.tensor(torch.nan)])
def test_numbers_that_are_not_finite(value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^scale is .*finite"):
        given(scale=value)
    with pytest.raises(ArgumentError, match=r"^sigmas\[1\] is .*finite"):
        given(sigmas=[1.0, value])


def test_flags() -> None:
    for true in (True, 1, np.bool_(True), torch.tensor(True), 1.0):
        assert given(fast=true) is True
    for wrong in ("False", 2, [], torch.ones(2), object()):
        with pytest.raises(ArgumentTypeError, match=r"^fast is"):
            given(fast=wrong)


@pytest.mark.parametrize("text", ["a \ud83d", ["a", "\udc80b"]])
def test_text_that_cannot_be_encoded(text: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^prompt has the lone surrogate '\\ud"):
        given(prompt=text)
    assert given(prompt="naïve 🐈") == "naïve 🐈"


def test_tensors() -> None:
    for wrong in (np.ones(2), [1.0], 3):
        with pytest.raises(ArgumentTypeError, match=r"^latents is a"):
            given(latents=wrong)
    with pytest.raises(ArgumentTypeError, match=r"^latents is a tensor that is sparse"):
        given(latents=torch.ones(2).to_sparse())
    with pytest.raises(ArgumentTypeError, match=r"^latents has the dtype torch.complex"):
        given(latents=torch.ones(2, dtype=torch.cfloat))


def test_sequences_of_numbers_may_be_arrays() -> None:
    assert given(sizes=np.array([16, 8])) == [16, 8]
    assert given(sizes=(16, torch.tensor(8))) == (16, 8)
    assert given(sigmas=torch.tensor([2.0, 1.0])) == [2.0, 1.0]
    with pytest.raises(ArgumentTypeError, match=r"^sizes\[1\] is a str"):
        given(sizes=(16, "8"))


def test_what_is_not_declared_is_left_alone() -> None:
    strange = object()
    for name in ("images", "other", "several", "options", "callback"):
        assert given(**{name: strange}) is strange
    # None is what the task makes of it, and a default may be endless.
    assert given(steps=None) is None
    assert given(limit=float("inf")) == float("inf")
    readers = readers_of(Pipe.__call__)
    assert not {"images", "other", "several", "options", "callback", "limit"} & set(readers)


def test_the_body_gets_what_the_record_holds() -> None:
    record, steps, scale, rest, note, more = Pipe()(
        np.int64(2), torch.tensor(0.5), note="x", further=strange_value
    )
    assert (steps, scale, rest, note, more) == (2, 0.5, (), "x", {"further": strange_value})
    assert (record["steps"], record["scale"]) == (2, 0.5)
    assert Pipe()(1, 1.0, False, None, None, None, None, 1.0, 2.0, 3, 4, 5, 6, 7, 8, 9)[3] == (8, 9)


strange_value = object()
