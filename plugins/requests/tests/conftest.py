"""The toys, for every test that asks for them, and requests for them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.toys import toys  # noqa: F401

from autopipe.registry import Registry
from autopipe_requests.completing import Completion
from autopipe_requests.request import Request


@pytest.fixture
def make(toys: Registry) -> Callable[..., Request]:  # noqa: F811
    """A function that completes requests for the toy that paints."""
    completion = Completion(toys)
    return lambda **given: completion.complete(
        {"model": "paint", "prompt": "a hut", "seed": 1, **given}
    )
