"""Reads JSON files from untrusted sources, with limits on their size and number of entries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .errors import AutopipeError, ConfigError
from .regular import opened

_LARGEST_FILE = 1 << 25
"""The largest JSON file, in bytes; shard indexes of the largest models have a few million."""

_MOST_PARTS = 1 << 20
"""The most commas, colons, brackets and strings; a list of 8,000 tensors has under 200,000."""

_MARKS = (b",", b":", b"[", b"{")


def read_json_object(
    file: Path, open_file: Callable[[Path, int], BinaryIO] = opened
) -> dict[str, Any]:
    """Return the JSON object in `file`.

    Args:
        open_file: opens a file of at most the given number of bytes.

    Raises:
        ConfigError: if the file is absent, not a regular file, not valid JSON, larger than any
            config, or does not contain an object.
    """
    try:
        with open_file(file, _LARGEST_FILE) as stream:
            content = stream.read(_LARGEST_FILE)
        if content.startswith(b"version https://git-lfs.github.com/"):
            raise ConfigError(
                f"{file} is a Git LFS pointer, not the file itself; run `git lfs pull` in the "
                f"folder, or download the checkpoint again"
            )
        found = parse_json(content)
    except AutopipeError:
        raise
    except FileNotFoundError:
        raise ConfigError(f"{file} does not exist; is this the folder of a checkpoint?") from None
    except OSError as error:
        raise ConfigError(f"{file} can't be read: {error}; fetch it again") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not valid JSON ({error}); fetch it again") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file} must contain a JSON object, not a {type(found).__name__}")
    return found


def parse_json(content: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: if it is not valid JSON, or has too many entries. An entry of a few bytes can
            take a hundred bytes of memory.
        RecursionError: if it is nested too deeply.
    """
    check_parts(content)
    return json.loads(content.decode("utf-8"))


def check_parts(content: bytes, most: int = _MOST_PARTS) -> None:
    """Raise `ValueError` if JSON has more than `most` strings and marks (commas, brackets ...)."""
    # A quick upper bound first: it also counts marks inside strings.
    if sum(map(content.count, _MARKS)) > most and _parts(content, most) > most:
        raise ValueError(f"it has more than {most:,} entries")


def _parts(content: bytes, most: int) -> int:
    """The number of strings and of marks outside them; stops counting beyond `most`."""
    content = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    found, start = 0, 0
    while start >= 0 and found <= most:
        text = content.find(b'"', start)
        stop = len(content) if text < 0 else text
        found += 1 + sum(content.count(mark, start, stop) for mark in _MARKS)
        end = content.find(b'"', stop + 1)
        start = end + 1 if end >= 0 else -1
    return found
