"""What holds for all tests of the workspace."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings
from support import browsing, comparing
from support.browsing import pytest_ignore_collect  # noqa: F401
from support.comparing import pytest_configure  # noqa: F401

# No test fails because its machine is busy.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    comparing.pytest_addoption(parser)
    browsing.pytest_addoption(parser)


@pytest.fixture(autouse=True)
def without_waiting_for_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files needn't reach the disk: tests kill processes, but not the machine under them."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(autouse=True)
def from_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hints name packages, as for users who have no clone; those for a clone are tested apart."""
    monkeypatch.setattr("autopipe.resolution.hints._clone", lambda: None)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave the tests and all imported modules out of garbage collections: a million objects.

    Without this, every full collection takes half a second, and closing a pipeline makes one.
    """
    gc.collect()
    gc.freeze()
