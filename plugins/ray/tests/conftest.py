"""What the tests of this package share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray


@pytest.fixture(scope="module")
def here() -> Iterator[None]:
    """A cluster of two processors, to which the runner connects."""
    ray.init(
        "local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False,
        object_store_memory=100 * 2**20,
    )  # fmt: skip
    yield
    ray.shutdown()
