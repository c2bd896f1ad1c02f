"""Tensors that a step callback replaces act as in diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.callbacks import replacing

pytestmark = pytest.mark.parity


def test_replaced_tensors(compare: Callable[..., Any], unets: Any, task: Any) -> None:
    kind, call = task.kind, {**task.call, "output_type": "np", "num_inference_steps": 4}
    sees_mask = {"unet": unets(in_channels=9)} if "mask_image" in call else {}
    plain = compare(kind, components=sees_mask, **call)
    for name in set(kind._callback_tensor_inputs) - set(kind.negative_halves):
        reports = replacing(name, lambda old: old * 0.5)
        assert (compare(kind, components=sees_mask, **call, **reports) != plain).any(), name
