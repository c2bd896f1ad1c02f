"""Whatever the pipelines of the family show to step callbacks, a callback may replace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.callbacks import assert_each_acts


def test_each_tensor_acts(build: Callable[..., Any], task: Any) -> None:
    assert_each_acts(build(task.kind), {"prompt": "a cat", **task.call})
