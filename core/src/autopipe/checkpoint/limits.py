"""Sizes that no model has, refused while they are still numbers in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ConfigError

_LARGEST = 1 << 24
"""Above every size in a config: the largest vocabularies have 250,000 entries."""

LARGEST_SIDE = 1 << 14
"""Of an image, in pixels."""


def check_sizes(config: Mapping[str, Any], origin: Path | str, largest: int = _LARGEST) -> None:
    """Raise `ConfigError` for a number in `config` that would take absurd memory or time.

    Args:
        origin: the file that holds it, for the message.
    """
    pending: list[tuple[str, Any]] = [(str(name), value) for name, value in config.items()]
    while pending:
        name, value = pending.pop()
        if isinstance(value, Mapping):
            pending += [(f"{name}.{key}", one) for key, one in value.items()]
        elif isinstance(value, (list, tuple)):
            pending += [(name, one) for one in value]
        elif isinstance(value, (int, float)) and abs(value) > largest:
            raise ConfigError(
                f"{origin} asks for {name} = {_short(value)}, more than any model has (at most "
                f"{largest:,}); correct it, or fetch the checkpoint again"
            )


def _short(value: float) -> str:
    """A number of any length; Python refuses to write out very long ones."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a number of {value.bit_length():,} bits"
    return f"{value:,}"
