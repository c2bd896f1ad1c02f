"""What diffusers refuses is refused by the same built-in exception."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.bad_calls import assert_same_kinds
from support.image_embeddings import stage_call

import autopipe

pytestmark = pytest.mark.parity

NAMES = [pipeline.name for pipeline in autopipe.registry.families["kandinsky21"].pipelines]


@pytest.mark.parametrize("name", NAMES)
def test_kinds_of_errors(
    build: Callable[..., Any], reference: Callable[[Any], Any], name: str
) -> None:
    ours = build(getattr(autopipe, name))
    call = stage_call(type(ours))
    call = {n: one for n, one in call.items() if n != "hint" or "Controlnet" in name}
    assert_same_kinds(ours, reference(ours), call)
