"""What diffusers refuses is refused by the same built-in exception."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.bad_calls import assert_same_kinds

pytestmark = pytest.mark.parity


def test_kinds_of_errors(
    build: Callable[..., Any], reference: Callable[[Any], Any], task: Any
) -> None:
    ours = build(task.kind)
    call = {"prompt": "a cat", **task.call, "num_inference_steps": 4}
    assert_same_kinds(ours, reference(ours), call)
