"""Every argument of every call with every kind of value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.room import check_refuses_what_cannot_fit
from support.values import flaws_of


def test_every_value_works_or_is_refused_by_name(build: Callable[..., Any], task: Any) -> None:
    flaws = flaws_of(build(task.kind), {"prompt": "a cat", "num_inference_steps": 2, **task.call})
    assert not flaws, "\n".join(flaws)


def test_what_cannot_fit_is_refused(build: Callable[..., Any], task: Any) -> None:
    call = {"prompt": "a cat", "num_inference_steps": 2, **task.call}
    check_refuses_what_cannot_fit(build(task.kind), call)
