"""What a pipeline needs of a checkpoint: told exactly, then fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..registry import Registry, default_registry
from .files import File
from .index import INDEX_NAME
from .prepare import Chooser, Prepared, prepare
from .source import Source


@dataclass(frozen=True)
class Item:
    """A file to have.

    Attributes:
        path: inside the checkpoint, with slashes.
        size: bytes; -1 where the repository doesn't tell.
        component: whose it is; None for the index.
        missing: whether it is to be fetched.
    """

    path: str
    size: int
    component: str | None
    missing: bool


@dataclass(frozen=True)
class Download:
    """The plan: every file that loading will read, all of one commit.

    `stage` is the same for another checkpoint, which is one stage of a chain with this one, and
    `keyword` the word by which it goes. It has a commit of its own.
    """

    source: Source
    class_name: str
    items: tuple[Item, ...]
    stage: Download | None = None
    keyword: str = ""

    @property
    def commit(self) -> str | None:
        """The commit; None for a folder."""
        commit: str | None = getattr(self.source, "commit", None)
        return commit

    @property
    def size(self) -> int:
        """Bytes in all, those of the other stage included."""
        own = sum(max(item.size, 0) for item in self.items)
        return own + (self.stage.size if self.stage else 0)

    @property
    def missing(self) -> tuple[Item, ...]:
        """The files to fetch, of this checkpoint."""
        return tuple(item for item in self.items if item.missing)

    @property
    def missing_size(self) -> int:
        """Bytes to fetch, those of the other stage included."""
        own = sum(max(item.size, 0) for item in self.missing)
        return own + (self.stage.missing_size if self.stage else 0)

    def run(self) -> Path:
        """Fetch what is missing and what is damaged; returns the local folder.

        Raises:
            CheckpointError: it can't be fetched, or the disk is too small.
            DamagedFileError: a file arrives damaged again and again.
        """
        if self.stage is not None:
            self.stage.run()
        return self.source.fetch([item.path for item in self.items], thoroughly=True)


def plan_download(
    chooser: type | Chooser,
    path: str | Path,
    *,
    registry: Registry | None = None,
    **keywords: Any,
) -> Download:
    """The plan for what `load_pipeline` would read with the same arguments.

    Only the index, and lists of shards, are fetched for it.
    """
    return _plan(prepare(chooser, path, registry or default_registry(), keywords))


def _plan(ready: Prepared) -> Download:
    missing = set(ready.source.missing(ready.paths))
    items = tuple(
        Item(file.path, file.size, component, file.path in missing)
        for component, file in _files(ready)
    )
    stage = None if ready.stage is None else _plan(ready.stage)
    return Download(ready.source, ready.cls.__name__, items, stage, ready.stage_keyword)


def _files(ready: Prepared) -> list[tuple[str | None, File]]:
    """All files with their component, each once, the index first."""
    listing: Mapping[str, int] = ready.source.files()
    found: dict[str, tuple[str | None, File]] = {
        path: (None, File(path, listing[path])) for path in (INDEX_NAME,) if path in listing
    }
    for name, part in ready.plan.components.items():
        for file in part.files:
            found.setdefault(file.path, (name, file))
    return list(found.values())
