"""Signatures and what the steps of a call read of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.arguments import arguments_read  # noqa: F401
from support.record import parameters_of

from autopipe_deepfloyd_if.call import Call


def test_every_argument_of_a_call_is_read(
    build: Callable[..., Any],
    task: Any,
    arguments_read: list[set[str]],  # noqa: F811
) -> None:
    build(task.kind)(prompt="a cat", **task.call)
    (read,) = arguments_read
    assert parameters_of(task.kind) - read == set()


def test_every_call_takes_what_is_documented_for_all(task: Any) -> None:
    assert set(Call.__annotations__) - parameters_of(task.kind) == set()
