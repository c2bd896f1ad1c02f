"""Compares calls whose prompts are embeddings, in both libraries."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .parity import TOLERANCE, generators


@pytest.fixture
def compare(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    prompt: Callable[..., dict[str, Any]],
) -> Callable[..., Any]:
    """Makes one call on both libraries and compares the images; returns those of ours.

    `seed` is that of the generator, or a list for a list of them; `components` go to `build`;
    `prompts` is how many there are.
    """

    def run(
        kind: type,
        *,
        seed: int | list[int] = 0,
        prompts: int = 1,
        components: dict[str, Any] | None = None,
        tolerance: float = TOLERANCE,
        **call: Any,
    ) -> np.ndarray:
        call = {"num_inference_steps": 3, "output_type": "np", **prompt(kind, prompts), **call}
        ours = build(kind, **(components or {}))
        theirs = reference(ours)
        found = ours(generator=generators(seed), **copy.deepcopy(call)).images
        expected = theirs(generator=generators(seed), **copy.deepcopy(call)).images
        if call["output_type"] == "pil":
            found, expected = (
                np.stack([np.asarray(i) / 255 for i in x]) for x in (found, expected)
            )
        assert record(kind.__name__, found, expected) <= tolerance
        return np.asarray(found)

    return run
