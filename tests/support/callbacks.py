"""Checks of step callbacks: replaces each tensor that a class offers, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .parity import as_array


def changed(value: Any) -> Any:
    """Return a different value of the same kind; masks of 0 and 1 remain masks."""
    if isinstance(value, list):
        return [changed(one) for one in value]
    return ~value if value.dtype == torch.bool else 1 - value if value.is_floating_point() else (
        value + 1
    )  # fmt: skip


def replacing(name: str, made: Callable[[Any], Any] = changed) -> dict[str, Any]:
    """Return arguments for a call whose callback replaces one tensor in the first step."""

    def replace(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: made(tensors[name])} if step == 0 else {}

    return {"callback_on_step_end": replace, "callback_on_step_end_tensor_inputs": [name]}


def assert_each_acts(pipe: Any, call: dict[str, Any], result: str = "images") -> None:
    """Check that replacing any tensor of `_callback_tensor_inputs` changes the result."""

    def drawn(**reports: Any) -> np.ndarray:
        torch.manual_seed(3)
        generator = torch.Generator().manual_seed(0)
        return np.asarray(as_array(getattr(pipe(generator=generator, **call, **reports), result)))

    plain = drawn()
    assert np.array_equal(plain, drawn())
    names = type(pipe)._callback_tensor_inputs
    assert "latents" in names
    idle = [name for name in names if np.array_equal(plain, drawn(**replacing(name)))]
    assert idle == [], f"{type(pipe).__name__} shows callbacks what no step reads"

    def unchanged(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        assert list(tensors) == list(names)
        return tensors

    reports = {"callback_on_step_end": unchanged, "callback_on_step_end_tensor_inputs": names}
    assert np.array_equal(plain, drawn(**reports))
    unguided = drawn(guidance_scale=1.0)
    assert np.array_equal(unguided, drawn(guidance_scale=1.0, **reports))
