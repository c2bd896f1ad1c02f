"""JSON files that others made: read where they are such, and of no more entries than are needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .errors import AutopipeError, ConfigError
from .regular import opened

_LARGEST_FILE = 1 << 25
"""Bytes of a JSON file: those that list the shards of the largest models have a few millions."""

_MOST_PARTS = 1 << 20
"""Commas, colons, brackets and texts in JSON: what lists 8,000 tensors has less than 200,000."""

_MARKS = (b",", b":", b"[", b"{")


def read_json_object(
    file: Path, open_file: Callable[[Path, int], BinaryIO] = opened
) -> dict[str, Any]:
    """The JSON object in `file`.

    Args:
        open_file: what opens a file of at most so many bytes.

    Raises:
        ConfigError: the file is absent, not a regular file, not JSON, larger than any config, or
            holds something else than an object.
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
        raise ConfigError(f"{file} holds a {type(found).__name__} where an object is expected")
    return found


def parse_json(content: bytes) -> Any:
    """The value that some JSON stands for.

    Raises:
        ValueError: it is not JSON, or it has too many entries: each takes up to a hundred bytes of
            memory, however few it takes in the file.
        RecursionError: it is nested too deeply.
    """
    check_parts(content)
    return json.loads(content.decode("utf-8"))


def check_parts(content: bytes, most: int = _MOST_PARTS) -> None:
    """Raise `ValueError` for JSON of more than `most` texts, and marks outside of them."""
    # Quick, and never too few. What stands in texts is left out only where that may matter.
    if sum(map(content.count, _MARKS)) > most and _parts(content, most) > most:
        raise ValueError(f"it has more than {most:,} entries")


def _parts(content: bytes, most: int) -> int:
    """How many there are, as far as `most`."""
    content = content.replace(b"\\\\", b"").replace(b'\\"', b"")
    found, start = 0, 0
    while start >= 0 and found <= most:
        text = content.find(b'"', start)
        stop = len(content) if text < 0 else text
        found += 1 + sum(content.count(mark, start, stop) for mark in _MARKS)
        end = content.find(b'"', stop + 1)
        start = end + 1 if end >= 0 else -1
    return found
