"""Names that a checkpoint supplies are plain names inside its folder, or an error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

from ..errors import ArgumentError, UnsafeCheckpointError
from ..wording import shown

_FORBIDDEN = frozenset({"/", "\\", ":", *map(chr, range(32))})


def is_plain(name: object) -> TypeGuard[str]:
    """Whether `name` can only be an entry of the folder it stands in."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not _FORBIDDEN & set(name)
        and len(name) <= 255
    )


def plain_name(name: object, origin: str) -> str:
    """`name`, which `origin` (a file, for the message) supplies.

    Raises:
        UnsafeCheckpointError: it could lead out of its folder.
    """
    if not is_plain(name):
        raise UnsafeCheckpointError(
            f"{origin} names the file or folder {shown(name)}, which is not a plain name inside "
            f"its own folder; don't use this checkpoint unless you trust it, and correct the name"
        )
    return name


def parts_of(subfolder: str | Path | None) -> tuple[str, ...]:
    """The parts of a subfolder that a caller gives; none for None and `""`.

    Raises:
        ArgumentError: it is absolute or leads out of the checkpoint.
    """
    path = str(subfolder or "").replace("\\", "/").rstrip("/")
    parts = tuple(part for part in path.split("/") if part != ".") if path else ()
    if not all(is_plain(part) for part in parts):
        raise ArgumentError(
            f"subfolder={shown(str(subfolder))} must be a folder inside the checkpoint, such as "
            f"'unet'"
        )
    return parts


def inside(root: Path, relative: str, *also: Path) -> Path:
    """`root / relative`, where no link on the way leads out of `root`.

    The cache of huggingface_hub keeps files as links from a snapshot to its blobs, which counts
    as inside, and its folder of a repository may be a link itself.

    Args:
        also: further folders that count as inside.

    Raises:
        UnsafeCheckpointError: a link leads elsewhere.
    """
    path = root / relative
    try:
        real_root, real = root.resolve(), path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise UnsafeCheckpointError(
            f"{path} can't be followed ({error}); replace the link by the file itself"
        ) from error
    # Without links, which is nearly always, this is all.
    if not real.is_relative_to(real_root) and not any(
        real.is_relative_to(folder.resolve()) for folder in (*_blobs(root), *also)
    ):
        raise UnsafeCheckpointError(
            f"{path} is a link that leads out of the checkpoint, to {real}; if you made it, pass "
            f"follow_links=True or set AUTOPIPE_FOLLOW_LINKS=1, else replace it by the file itself"
        )
    return path


def _blobs(root: Path) -> Iterator[Path]:
    """Where caches keep the content of what `root` holds, a snapshot or a folder in one."""
    for place in (Path(os.path.abspath(root)), root.resolve()):
        for above in (place, *place.parents):
            repository = above.parent.parent
            if above.parent.name == "snapshots" and repository.name.startswith("models--"):
                blobs = repository.resolve() / "blobs"
                # A link there may be of an archive that somebody else made.
                if not blobs.is_symlink():
                    yield blobs
