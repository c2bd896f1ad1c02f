"""Where a checkpoint is: a local folder, a demo shipped in a wheel, or a repository of the Hub.

A source lists its files without reading them and fetches those that a plan names. What comes
after this module only ever sees a local folder.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ..errors import CheckpointError, PluginError, nearest
from ..registry import Registry
from .headers import Header, read_header
from .names import inside

DEMO = "demo:"

_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True)
class HubOptions:
    """The keywords that say where in the Hub, or in its cache, to look."""

    revision: str | None = None
    token: str | bool | None = field(default=None, repr=False)
    cache_dir: str | Path | None = None
    force_download: bool = False
    local_files_only: bool = False


class Source(Protocol):
    """A checkpoint whose files can be listed, and fetched to a local folder."""

    @property
    def name(self) -> str:
        """What the caller asked for, for messages."""

    @property
    def root(self) -> Path:
        """The local folder; of a repository it may not be there yet."""

    @property
    def cure(self) -> str:
        """What to do where something is absent, for messages."""

    def files(self, *folder: str) -> Mapping[str, int]:
        """The files directly in a folder of the checkpoint: name -> bytes (-1: unknown).

        Raises:
            UnsafeCheckpointError: the folder is a link that leads out of the checkpoint.
        """

    def missing(self, paths: Iterable[str]) -> list[str]:
        """Those of `paths` that are not here yet, or not whole as far as their size tells."""

    def fetch(self, paths: Iterable[str], *, thoroughly: bool = False) -> Path:
        """Make sure that these files are there; returns the checkpoint's local folder.

        Args:
            thoroughly: compare also those that were here before with their digests, if the
                source knows any.

        Raises:
            CheckpointError: one is absent or can't be fetched.
            UnsafeCheckpointError: one is a link that leads out of the checkpoint.
        """

    def header(self, path: str) -> Header:
        """The header of a safetensors file, which need not be fetched for it.

        Raises:
            CheckpointError, UnsafeCheckpointError: as `fetch`.
            DamagedFileError: it is not whole, as far as its header and its size tell.
        """


@dataclass(frozen=True)
class LocalSource:
    """A folder."""

    root: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.root)

    @property
    def cure(self) -> str:
        """See `Source`."""
        return "fetch the checkpoint again"

    def files(self, *folder: str) -> Mapping[str, int]:
        """See `Source`."""
        place = inside(self.root, "/".join(folder))
        try:
            found = sorted(place.iterdir()) if place.is_dir() else []
            return {p.name: p.stat().st_size for p in found if p.is_file()}
        except OSError as error:
            raise CheckpointError(f"the folder {place} can't be read: {error}") from error

    def missing(self, paths: Iterable[str]) -> list[str]:
        """See `Source`."""
        return [path for path in paths if not inside(self.root, path).is_file()]

    def fetch(self, paths: Iterable[str], *, thoroughly: bool = False) -> Path:
        """See `Source`."""
        for path in paths:
            if not inside(self.root, path).is_file():
                raise CheckpointError(f"{self.root / path} is absent; {self.cure}")
        return self.root

    def header(self, path: str) -> Header:
        """See `Source`."""
        return read_header(self.fetch([path]) / path)


def open_source(path: str | Path, hub: HubOptions, registry: Registry) -> Source:
    """The source that `path` means: an existing folder first, then `demo:`, then the Hub.

    Raises:
        CheckpointError: there is no such folder, demo or repository, or no way to reach it.
    """
    folder = Path(path).expanduser()
    text = str(path)
    if folder.is_dir():
        return LocalSource(folder)
    if folder.is_file():
        raise CheckpointError(
            f"{folder} is a file, and a checkpoint is a folder; give the folder that holds it"
        )
    if text.startswith(DEMO):
        return LocalSource(demo_folder(text.removeprefix(DEMO), registry))
    if isinstance(path, Path) or not _REPOSITORY.fullmatch(text) or text.startswith("."):
        raise CheckpointError(
            f"there is no folder {text!r}, and it is no repository id such as 'owner/name' either; "
            f"check the path"
        )
    from .hub import open_repository

    return open_repository(text, hub)


def demo_folder(family: str, registry: Registry) -> Path:
    """The folder of the checkpoint that a family ships in its wheel. The family isn't imported.

    Raises:
        CheckpointError: no installed family of this name ships one.
        PluginError: its manifest names a folder that isn't there.
    """
    demos = {name: f.demo for name, f in registry.families.items() if f.demo}
    place = demos.get(family)
    if place is None:
        raise CheckpointError(
            f"there is no demo checkpoint {DEMO + family!r}.{nearest(family, demos)} "
            f"Installed: {', '.join(DEMO + name for name in sorted(demos)) or 'none'}"
        )
    package, _, relative = place.partition(":")
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (Path(folder) / relative).is_dir():
            return Path(folder) / relative
    raise PluginError(
        f"the family {family} says that its demo is in {place}, which isn't there; "
        f"reinstall its package"
    )
