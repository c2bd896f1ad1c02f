"""Every argument of every call with every kind of value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.values import flaws_of


def test_every_value_works_or_is_refused_by_name(build: Callable[..., Any], task: Any) -> None:
    flaws = flaws_of(build(task.kind), {"prompt": "a cat", "num_inference_steps": 2, **task.call})
    assert not flaws, "\n".join(flaws)
