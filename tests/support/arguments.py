"""Observes which arguments a call reads while it runs; `record` analyses the source instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import autopipe.pipeline.call
from autopipe.pipeline.call import Arguments


@pytest.fixture
def arguments_read(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """For each `Arguments` created from now on, the names that are read from it in any way."""
    every: list[set[str]] = []

    class Watched(Arguments):
        def __init__(self, values: Any) -> None:
            super().__init__(values)
            every.append(set())
            self.__dict__["__read"] = every[-1]

        def __getattribute__(self, name: str) -> Any:
            values = object.__getattribute__(self, "__dict__")
            if name in values:
                values["__read"].add(name)
            return super().__getattribute__(name)

        def __getitem__(self, name: str) -> Any:
            self.__dict__["__read"].add(name)
            return super().__getitem__(name)

        def __iter__(self) -> Iterator[str]:
            return (name for name in self.__dict__ if name != "__read")

    monkeypatch.setattr(autopipe.pipeline.call, "Arguments", Watched)
    return every
