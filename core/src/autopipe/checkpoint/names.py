"""Checks that names and paths of a checkpoint stay inside its folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

from ..errors import ArgumentError, UnsafeCheckpointError
from ..wording import shown

_FORBIDDEN = frozenset({"/", "\\", ":", *map(chr, range(32))})


def is_plain(name: object) -> TypeGuard[str]:
    """Whether `name` can only be an entry of its own folder."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not _FORBIDDEN & set(name)
        and len(name) <= 255
    )


def plain_name(name: object, origin: str) -> str:
    """Return `name`, which was read from the file `origin`.

    Raises:
        UnsafeCheckpointError: if the name could lead out of its folder.
    """
    if not is_plain(name):
        raise UnsafeCheckpointError(
            f"{origin} names the file or folder {shown(name)}, which is not a plain name inside "
            f"its own folder; use this checkpoint only if you trust it, and correct the name"
        )
    return name


def parts_of(subfolder: str | Path | None, name: str = "subfolder") -> tuple[str, ...]:
    """Split a subfolder that a caller gives into its parts; empty for None and `""`.

    Args:
        name: the argument by which it is given, for the message.

    Raises:
        ArgumentError: if it is absolute or leads out of the checkpoint.
    """
    path = str(subfolder or "").replace("\\", "/").rstrip("/")
    parts = tuple(part for part in path.split("/") if part != ".") if path else ()
    if not all(is_plain(part) for part in parts):
        raise ArgumentError(
            f"{name}={shown(str(subfolder))} must be a path inside the checkpoint, such as 'unet'"
        )
    return parts


def inside(root: Path, relative: str, *also: Path) -> Path:
    """Return `root / relative`, after checking that no link leads out of `root`.

    The cache of huggingface_hub has links from a snapshot to its blobs, which count as inside, and
    its folder of a repository may itself be a link.

    Args:
        also: additional folders that count as inside.

    Raises:
        UnsafeCheckpointError: if a link leads elsewhere.
    """
    path = root / relative
    try:
        real_root, real = root.resolve(), path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise UnsafeCheckpointError(
            f"{path} can't be followed ({error}); replace the link by the file itself"
        ) from error
    # The common case, without links.
    if not real.is_relative_to(real_root) and not any(
        real.is_relative_to(folder.resolve()) for folder in (*_blobs(root), *also)
    ):
        raise UnsafeCheckpointError(
            f"{path} is a link that leads out of the checkpoint, to {real}; if you trust it, pass "
            f"follow_links=True or set AUTOPIPE_FOLLOW_LINKS=1, else replace it by the file itself"
        )
    return path


def _blobs(root: Path) -> Iterator[Path]:
    """Yield the blob folders of the cache if `root` is a snapshot, or a folder in one."""
    for place in (Path(os.path.abspath(root)), root.resolve()):
        for above in (place, *place.parents):
            repository = above.parent.parent
            if above.parent.name == "snapshots" and repository.name.startswith("models--"):
                blobs = repository.resolve() / "blobs"
                # A link there may come from an archive of unknown origin.
                if not blobs.is_symlink():
                    yield blobs
