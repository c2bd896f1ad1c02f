"""Checks that saved configs have the same keys as those of diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe
from autopipe.registry import default_registry


def same_keys(family: str, **options: Any) -> Callable[..., None]:
    """Return a test of all pipelines of `family`, with those of `options` that they have."""

    @pytest.mark.parametrize(
        "kind", [one.name for one in default_registry().families[family].pipelines]
    )
    def test(
        build: Callable[..., Any],
        reference: Callable[[Any], Any],
        saved_alike: Callable[[Any, Any], None],
        kind: str,
    ) -> None:
        cls = getattr(autopipe, kind)
        ours = build(cls, **{n: one for n, one in options.items() if n in cls.option_names()})
        saved_alike(ours, reference(ours))

    return test
