"""What every class of the family is asked: components, dtypes, callbacks, values, sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.embedding_calls import CHECKS

import autopipe

NAMES = [pipeline.name for pipeline in autopipe.registry.families["kandinsky21"].pipelines]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_every_call(
    build: Callable[..., Any], name: str, check: Callable[[Any, Callable[..., Any]], None]
) -> None:
    check(getattr(autopipe, name), build)
