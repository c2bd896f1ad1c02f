"""What holds for all tests of the workspace."""

from __future__ import annotations

import pytest
from support.comparing import pytest_addoption, pytest_configure  # noqa: F401


@pytest.fixture(autouse=True)
def from_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hints name packages, as for users who have no clone; those for a clone are tested apart."""
    monkeypatch.setattr("autopipe.resolution.hints._clone", lambda: None)
