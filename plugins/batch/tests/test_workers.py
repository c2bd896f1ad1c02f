"""How many workers there is room for."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopipe.errors import CheckpointError
from autopipe.placement import devices
from autopipe.registry import default_registry
from autopipe_batch import workers
from autopipe_batch.workers import cores, workers_for
from autopipe_requests.request import Checkpoint, Request

GIB = 2**30
REQUEST = Request(checkpoint=Checkpoint(name="demo:stable_diffusion"), seed=0, task="text2image")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    def of(count: int, free: int, takes: int | None = None) -> None:
        monkeypatch.setattr(workers, "cores", lambda: count)
        monkeypatch.setattr(devices, "free_memory", lambda: {devices.CPU: free})
        if takes is not None:
            monkeypatch.setattr(workers, "memory_of", lambda *given: takes)

    return of


@pytest.mark.parametrize(
    ("count", "free", "takes", "expected"),
    [(4, 64 * GIB, GIB, 4), (64, 64 * GIB, 9 * GIB, 5), (8, GIB, 9 * GIB, 1), (8, 0, 0, 1)],
)
def test_cores_and_memory_are_limits(
    machine, count: int, free: int, takes: int, expected: int
) -> None:
    machine(count, free, takes)
    assert workers_for(REQUEST, default_registry()) == expected


def test_a_pipeline_that_cannot_be_built_is_taken_to_be_large(
    machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*given: object) -> int:
        raise CheckpointError("no such file")

    machine(64, 32 * GIB)
    monkeypatch.setattr(workers, "memory_of", absent)
    assert workers_for(REQUEST, default_registry()) == 3


def test_the_demo_is_small(machine) -> None:
    machine(8, 64 * GIB)
    assert workers_for(REQUEST, default_registry()) == 8


def test_a_quota_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(workers, "QUOTA", quota)
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda process: set(range(16)))
    assert cores() == 16
    for text, expected in (("max 100000", 16), ("250000 100000", 2), ("50000 100000", 1)):
        quota.write_text(text)
        assert cores() == expected
