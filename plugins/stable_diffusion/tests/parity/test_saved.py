"""What a save writes into the configs is what diffusers writes, key by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe
from autopipe.registry import default_registry

pytestmark = pytest.mark.parity

KINDS = [one.name for one in default_registry().families["stable_diffusion"].pipelines]


@pytest.mark.parametrize("kind", KINDS)
def test_the_configs_have_the_same_keys(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
    kind: str,
) -> None:
    ours = build(getattr(autopipe, kind))
    saved_alike(ours, reference(ours))
