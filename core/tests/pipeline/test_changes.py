"""What a step callback may put in the place of a tensor, and what it may not."""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

from autopipe.errors import ArgumentError, ArgumentTypeError, CancelledError
from autopipe.pipeline.changes import Changes

OLD: dict[str, Any] = {
    "latents": torch.zeros(2, 4, 8, 8),
    "prompt_embeds": torch.zeros(4, 5, 16),
    "mask": torch.zeros(4, 5, dtype=torch.bool),
    "images": [torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 16, 16)],
    "absent": None,
}


def test_nothing_and_the_same_objects_change_nothing() -> None:
    for returned in (None, {}, dict(OLD), {"latent": 5, "unknown": torch.zeros(1)}):
        assert Changes().of(returned, OLD) == {}


@pytest.mark.parametrize("kind", [dict, OrderedDict, MappingProxyType])
def test_any_mapping_will_do(kind: Any) -> None:
    new = torch.ones(2, 4, 8, 8)
    assert Changes().of(kind({"latents": new}), OLD)["latents"] is new


def test_dtypes_become_those_of_the_tensors_before() -> None:
    for dtype in (torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool):
        found = Changes().of({"latents": torch.ones(2, 4, 8, 8, dtype=dtype)}, OLD)["latents"]
        assert found.dtype == torch.float32
        assert bool((found == 1).all())
    assert Changes().of({"mask": torch.ones(4, 5)}, OLD)["mask"].dtype == torch.bool
    (first, _) = Changes().of({"images": (torch.ones(2, 3, 16, 16).double(),) * 2}, OLD)["images"]
    assert first.dtype == torch.float32
    new = torch.ones(1)
    assert Changes().of({"absent": new}, OLD) == {"absent": new}


def test_the_batch_and_the_size_may_change() -> None:
    old = {**OLD, "noise_level": torch.zeros(4), "one": torch.tensor(1)}
    new = {
        "latents": torch.ones(1, 4, 12, 4),
        "prompt_embeds": torch.ones(2, 7, 16),
        "mask": torch.ones(2, 5, dtype=torch.bool),
        "noise_level": torch.ones(2),
        "one": torch.tensor(2),
    }
    assert Changes().of(new, old).keys() == new.keys()


NOT_TENSORS: list[Any] = [
    np.zeros((2, 4, 8, 8), np.float32),
    None,
    5,
    "latents\x1b[31m" * 1000,
    [torch.zeros(2, 4, 8, 8)],
    object(),
    torch.zeros(2, 4, 8, 8, dtype=torch.complex64),
    torch.zeros(2, 4, 8, 8).to_sparse(),
    torch.zeros(2, 4, 8, 8, device="meta"),
]


@pytest.mark.parametrize("value", NOT_TENSORS, ids=lambda value: type(value).__name__)
def test_what_is_not_a_tensor_is_refused_by_name(value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="callback_on_step_end returned latents") as caught:
        Changes().of({"latents": value}, OLD)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("images", torch.zeros(2, 3, 16, 16)),
        ("images", [torch.zeros(2, 3, 16, 16)]),
        ("images", [torch.zeros(2, 3, 16, 16), None]),
        ("absent", "x"),
    ],
)
def test_lists_stay_lists_of_tensors(name: str, value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=f"returned {name}"):
        Changes().of({name: value}, OLD)


@pytest.mark.parametrize("returned", [5, "latents", [("latents", 1)], torch.zeros(2, 4, 8, 8)])
def test_what_is_not_a_mapping_is_refused(returned: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="must return a dict"):
        Changes().of(returned, OLD)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("latents", (2, 3, 8, 8)),
        ("latents", (2, 4, 8)),
        ("latents", ()),
        ("latents", (0, 4, 8, 8)),
        ("latents", (2, 4, 0, 8)),
        ("prompt_embeds", (4, 5, 8)),
        ("prompt_embeds", (5, 16)),
    ],
)
def test_shapes_that_no_network_takes_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match=f"returned {name} of shape"):
        Changes().of({name: torch.zeros(shape)}, OLD)


def test_a_step_that_fails_after_shapes_changed_says_so() -> None:
    changes = Changes()
    error = RuntimeError("The size of tensor a (2) must match")
    changes.of({"latents": torch.ones(2, 4, 8, 8)}, OLD)
    changes.blame(error)  # no shape has changed: it is left to whoever raised it
    changes.of({"prompt_embeds": torch.zeros(2, 5, 16)}, OLD)
    with pytest.raises(ArgumentError, match=r"prompt_embeds from \(4, 5, 16\) to \(2, 5, 16\)"):
        changes.blame(error)
    for own in (CancelledError("x"), torch.OutOfMemoryError("x")):
        changes.blame(own)
