"""What a later release removes: a warning to whoever uses it, or a note about the plugin that does.

`docs/versions.md` says how long something that is deprecated stays.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import AutopipeDeprecationWarning

_notes: ContextVar[list[str] | None] = ContextVar("autopipe_deprecations", default=None)


def deprecated(name: str, *, since: str, until: str, instead: str, stacklevel: int = 1) -> None:
    """Warn the code that uses `name`.

    Args:
        name: of what is deprecated, as its user writes it.
        since: the release that deprecated it, such as `"0.2.0"`.
        until: the release that removes it.
        instead: what to do, as the end of a sentence: `"use resolve()"`.
        stacklevel: how many calls the code that uses it is above the function that calls this one.
    """
    text = f"{name} is deprecated since autopipe {since}, and {until} removes it; {instead}"
    notes = _notes.get()
    if notes is None:
        warnings.warn(text, AutopipeDeprecationWarning, stacklevel=stacklevel + 2)
    elif text not in notes:
        notes.append(text)


@contextmanager
def noted() -> Iterator[list[str]]:
    """Collect what is deprecated and used inside, instead of warning."""
    notes: list[str] = []
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)
