"""Signatures and what the steps of a call read of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.arguments import arguments_read  # noqa: F401
from support.chains import least_call
from support.record import parameters_of

import autopipe
from autopipe.registry import default_registry

KINDS = [getattr(autopipe, p.name) for p in default_registry().families["kandinsky22"].pipelines]


@pytest.mark.parametrize("kind", KINDS)
def test_every_argument_of_a_call_is_read(
    build: Callable[..., Any],
    kind: Any,
    arguments_read: list[set[str]],  # noqa: F811
) -> None:
    build(kind)(**least_call(kind))
    assert parameters_of(kind) - arguments_read[0] == set()
