"""What a save writes into the configs is what diffusers writes, key by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe
from autopipe.registry import default_registry

pytestmark = pytest.mark.parity

KINDS = [one.name for one in default_registry().families["controlnet"].pipelines]


@pytest.mark.parametrize("kind", KINDS)
def test_the_configs_have_the_same_keys(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
    kind: str,
) -> None:
    cls = getattr(autopipe, kind)
    # As it is where nobody says otherwise.
    told = {"add_watermarker": None} if "add_watermarker" in cls.option_names() else {}
    ours = build(cls, **told)
    saved_alike(ours, reference(ours))
