"""Whatever the tasks of the family show to step callbacks, a callback may replace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.callbacks import assert_each_acts


def test_each_tensor_acts(build: Callable[..., Any], unets: Callable[..., Any], task: Any) -> None:
    sees_mask = "mask_image" in task.call
    pipe = build(task.kind, **({"unet": unets(in_channels=9)} if sees_mask else {}))
    assert_each_acts(pipe, {"prompt": "a cat", "negative_prompt": "a dog", **task.call})
