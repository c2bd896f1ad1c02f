"""What a save writes into the configs is what diffusers writes, key by key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autopipe

from ..conftest import SCHEDULERS

pytestmark = pytest.mark.parity


# What diffusers writes of KarrasVeScheduler, it can't read itself.
@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "KarrasVePipeline"])
def test_the_configs_have_the_same_keys(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
    name: str,
) -> None:
    ours = build(getattr(autopipe, name))
    saved_alike(ours, reference(ours))
