"""Deprecations: a warning to the user, or a note about the plugin that uses something deprecated.

`docs/versions.md` says how long deprecated things stay.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import AutopipeDeprecationWarning

_notes: ContextVar[list[str] | None] = ContextVar("autopipe_deprecations", default=None)


def deprecated(name: str, *, since: str, until: str, instead: str, stacklevel: int = 1) -> None:
    """Warn that `name` is deprecated.

    Args:
        name: the deprecated name, as its user writes it.
        since: the release that deprecated it, such as `"0.2.0"`.
        until: the release that removes it.
        instead: what to do, as the end of a sentence: `"use resolve()"`.
        stacklevel: the number of calls from the code to warn to the function that calls this one.
    """
    text = f"{name} is deprecated since autopipe {since} and removed in {until}; {instead}"
    notes = _notes.get()
    if notes is None:
        warnings.warn(text, AutopipeDeprecationWarning, stacklevel=stacklevel + 2)
    elif text not in notes:
        notes.append(text)


@contextmanager
def noted() -> Iterator[list[str]]:
    """Context manager that collects deprecations in a list instead of warning."""
    notes: list[str] = []
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)
