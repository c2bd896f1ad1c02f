"""Errors that the code of plugins may raise."""

from __future__ import annotations

import asyncio

import pytest


class Untold(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Worse(BaseException):
    def __str__(self) -> str:
        raise SystemExit(1)


class NoText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


RAISED = [
    ValueError("boom"),
    SystemExit(3),
    asyncio.CancelledError(),
    GeneratorExit(),
    StopIteration(1),
    RecursionError("deep"),
    MemoryError(),
    Untold(),
    Worse(),
    NoText(),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"),
    OSError("\x1b[31m" + "x" * 10_000),
]
each_error = pytest.mark.parametrize("error", RAISED, ids=lambda one: type(one).__name__)
