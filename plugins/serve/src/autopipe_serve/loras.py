"""The adapters that the operator offers: the files of one folder."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autopipe.checkpoint.formats.headers import read_header
from autopipe.errors import ArgumentError, CheckpointError, nearest
from autopipe.regular import is_file
from autopipe.wording import shown

SUFFIX = ".safetensors"
"""The suffix of the files of adapters."""


@dataclass(frozen=True)
class Lora:
    """An adapter in the folder of the operator.

    Attributes:
        name: what clients call it: the name of its file without the suffix.
        path: the file.
        size: its size in bytes.
        changed: when it was changed, in nanoseconds since 1970.
    """

    name: str
    path: Path
    size: int
    changed: int

    @property
    def metadata(self) -> Mapping[str, str]:
        """The texts that its writer added; none if it can't be read."""
        return _metadata(self.path, self.size, self.changed)


@functools.lru_cache(maxsize=1024)
def _metadata(path: Path, size: int, changed: int) -> Mapping[str, str]:
    try:
        return read_header(path).metadata
    except CheckpointError:
        return {}


def loras_in(folder: Path | None) -> tuple[Lora, ...]:
    """Return the adapters of a folder, by name; without links that lead out of it."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder is not None else ():
        if not path.name.startswith(".") and _is_inside(path):
            facts = path.stat()
            found.append(Lora(path.stem, path, facts.st_size, facts.st_mtime_ns))
    return tuple(found)


def lora_path(name: str, folder: Path | None) -> Path:
    """Return the file of an adapter.

    Args:
        name: the name of the file, with or without its suffix.

    Raises:
        ArgumentError: if there is no such file in the folder.
    """
    known = {one.name: one.path for one in loras_in(folder)}
    found = known.get(name) or known.get(name.removesuffix(SUFFIX))
    if found is None:
        hint = nearest(name, known)
        none = "; it has none" if not known else ""
        raise ArgumentError(
            f"there is no adapter {shown(name)} on this server{none}.{hint} Name a file of the "
            f"folder of its operator, without folders before it"
        )
    return found


def _is_inside(path: Path) -> bool:
    try:
        return is_file(path) and path.resolve().parent == path.parent.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return False
