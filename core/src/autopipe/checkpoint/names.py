"""Names that a checkpoint supplies are plain names inside its folder, or an error."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import TypeGuard

from ..errors import ArgumentError, UnsafeCheckpointError

_FORBIDDEN = frozenset("/\\:\0")

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _brief.maxlong = 100


def is_plain(name: object) -> TypeGuard[str]:
    """Whether `name` can only be an entry of the folder it stands in."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not _FORBIDDEN & set(name)
        and not any(ord(character) < 32 for character in name)
        and len(name) <= 255
    )


def shown(value: object) -> str:
    """`value`, which a checkpoint supplies, for a message: cut short where it is long."""
    return _brief.repr(value)


def plain_name(name: object, origin: str) -> str:
    """`name`, which `origin` (a file, for the message) supplies.

    Raises:
        UnsafeCheckpointError: it could lead out of its folder.
    """
    if not is_plain(name):
        raise UnsafeCheckpointError(
            f"{origin} names the file or folder {shown(name)}, which is no plain name inside its "
            f"own folder; don't use this checkpoint unless you trust it, and correct the name"
        )
    return name


def parts_of(subfolder: str | Path | None) -> tuple[str, ...]:
    """The parts of a subfolder that a caller gives; none for None and `""`.

    Raises:
        ArgumentError: it is absolute or leads out of the checkpoint.
    """
    parts = tuple(p for p in str(subfolder or "").replace("\\", "/").split("/") if p != ".")
    while parts and not parts[-1]:
        parts = parts[:-1]
    if not all(is_plain(part) for part in parts):
        raise ArgumentError(
            f"subfolder={str(subfolder)!r} must be a folder inside the checkpoint, such as 'unet'"
        )
    return parts


def inside(root: Path, relative: str) -> Path:
    """`root / relative`, where no link on the way leads out of `root`.

    The cache of huggingface_hub keeps files as links from a snapshot to its blobs, which counts
    as inside.

    Raises:
        UnsafeCheckpointError: a link leads elsewhere.
    """
    path = root / relative
    try:
        real_root, real = root.resolve(), path.resolve()
    except (OSError, RuntimeError) as error:
        raise UnsafeCheckpointError(
            f"{path} can't be followed ({error}); replace the link by the file itself"
        ) from error
    blobs = [
        above.parent.parent / "blobs"
        for above in (real_root, *real_root.parents)
        if above.parent.name == "snapshots" and above.parent.parent.name.startswith("models--")
    ]
    if not any(real.is_relative_to(folder) for folder in (real_root, *blobs)):
        raise UnsafeCheckpointError(
            f"{path} is a link that leads out of the checkpoint, to {real}; replace it by the "
            f"file itself, or load that component on its own and pass it as a keyword"
        )
    return path
