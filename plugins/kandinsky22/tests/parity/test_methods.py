"""Methods that programs with a loop of their own call give what those of diffusers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.embedding_methods import METHODS, check_method

import autopipe

pytestmark = pytest.mark.parity

NAMES = [pipeline.name for pipeline in autopipe.registry.families["kandinsky22"].pipelines]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", METHODS)
def test_methods(
    build: Callable[..., Any], reference: Callable[[Any], Any], name: str, method: str
) -> None:
    ours = build(getattr(autopipe, name))
    check_method(ours, reference(ours), method)
