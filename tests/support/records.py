"""The settings in files that commands write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autopipe_requests.pictures import texts_of
from autopipe_requests.record import KEY, Record, settings


def settings_in(file: str | Path) -> dict[str, Any]:
    """Return the settings in a file."""
    return settings(Record.read(texts_of(file)[KEY]))
