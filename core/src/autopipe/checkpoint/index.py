"""`model_index.json`: which pipeline a checkpoint is, its components and its options.

Families recognise theirs among checkpoints without an index, or with one that names no class.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import (
    CheckpointError,
    ConfigError,
    PluginError,
    UnsafeCheckpointError,
    UnsupportedCheckpointError,
)
from ..json_files import read_json_object
from ..registry import Registry
from ..resolution.guard import guarded
from ..resolution.targets import load_target
from ..wording import logger, shown
from .atomic import check_whole
from .exchange import HEADS
from .formats.kinds import found_instead
from .names import is_plain
from .source import LocalSource, Source

_log = logger(__name__)

INDEX_NAME, CONFIGS = HEADS[0], HEADS[1:]
"""The file itself, and what the config of a component may be called."""

Pair = tuple[str, str]
"""A class as an index names it: (library, class name)."""

_LIBRARY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Index:
    """A validated index. It is data: nothing that it names has been looked up.

    Attributes:
        class_name: the pipeline class.
        components: the pair of each component, None where the index says there is none.
        options: the other entries, plain JSON values; null entries are among them.
        folder: where it was read.
    """

    class_name: str
    components: Mapping[str, Pair | None]
    options: Mapping[str, Any]
    folder: Path


def read_index(folder: str | Path) -> Index:
    """Read and check the index in `folder`.

    Raises:
        CheckpointError: there is no such folder, or it holds no index.
        ConfigError: the index is not valid JSON, or an entry is malformed.
        UnsafeCheckpointError: it names code of its own, or a path for a component.
    """
    file = Path(folder) / INDEX_NAME
    check_whole(file.parent)
    if not os.path.lexists(file):
        raise CheckpointError(_why_no_index(file.parent))
    return parse_index(read_json_object(file), file)


def open_index(source: Source, registry: Registry) -> Index:
    """The index of a checkpoint; where it names no class, the one that a family makes of it.

    Raises:
        CheckpointError, ConfigError, UnsafeCheckpointError: as `read_index`.
        UnsupportedCheckpointError: several families take it for theirs.
    """
    present = INDEX_NAME in source.files()
    content = source.json(INDEX_NAME) if present else {}
    if content.get("_class_name") is None:
        answers = dict(_answers(source, content, registry))
        if len(answers) > 1:
            raise UnsupportedCheckpointError(
                f"{source.name} names no pipeline class, and {' and '.join(sorted(answers))} both "
                f"take it for theirs; load it with from_pretrained of the class that you mean, "
                f"or write '_class_name' into its {INDEX_NAME}"
            )
        content = next(iter(answers.values()), content)
        if not present and not answers:
            if isinstance(source, LocalSource):
                raise CheckpointError(_why_no_index(source.root))
            content = source.json(INDEX_NAME)
    return parse_index(content, source.root / INDEX_NAME)


def parse_index(content: Mapping[str, Any], file: Path) -> Index:
    """Check the content of an index; `file` is where it was read. Raises as `read_index`."""
    class_name = content.get("_class_name")
    if isinstance(class_name, list):
        raise UnsafeCheckpointError(
            f"{file} names a pipeline in a code file of its own ({shown(class_name)}), and code of "
            f"a checkpoint is never run; a custom pipeline is an installed plugin"
        )
    if not is_plain(class_name) or not class_name.isidentifier():
        raise ConfigError(
            f"{file} must give the pipeline's class as '_class_name', and gives "
            f"{shown(class_name)}; fetch the checkpoint again"
        )
    components: dict[str, Pair | None] = {}
    options: dict[str, Any] = {}
    for name, entry in content.items():
        if name.startswith("_"):
            continue
        texts = isinstance(entry, list) and all(isinstance(p, str) or p is None for p in entry)
        if not texts or len(entry) != 2:
            options[name] = entry
            continue
        if not is_plain(name):
            raise UnsafeCheckpointError(
                f"{file} calls a component {shown(name)}, which is not a plain folder name; don't "
                f"use this checkpoint unless you trust it"
            )
        library, kind = entry
        known = is_plain(library) and _LIBRARY.fullmatch(library) and is_plain(kind)
        if entry == [None, None]:
            components[name] = None
        elif None in entry:
            raise ConfigError(
                f"{file} gives {shown(entry)} for the component {shown(name)}, where [library, "
                f"class] or [null, null] is expected; correct the entry"
            )
        elif known and kind.isidentifier():
            components[name] = library, kind
        else:
            raise UnsafeCheckpointError(
                f"{file} gives {shown(entry)} for the component {shown(name)}, which are not names "
                f"of a library and a class; don't use this checkpoint unless you trust it"
            )
    return Index(
        class_name=class_name,
        components=MappingProxyType(components),
        options=MappingProxyType(options),
        folder=file.parent,
    )


def _why_no_index(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no folder {folder}; check the path"
    if (folder / "config.json").is_file():
        return (
            f"{folder} holds a single model and no {INDEX_NAME}; load it with the from_pretrained "
            f"of its own class, or give the folder of the whole pipeline"
        )
    inner = sorted(p.parent.name for p in folder.glob(f"*/{INDEX_NAME}"))
    hint = f" (did you mean {folder / inner[0]}?)" if inner else ""
    instead = "" if inner else found_instead((p.name for p in folder.iterdir()), folder)
    return (
        f"{folder} holds no {INDEX_NAME}, so it is not the folder of a pipeline"
        f"{hint or (instead and f'; {instead}')}"
    )


def _answers(
    source: Source, content: Mapping[str, Any], registry: Registry
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The families that recognise the checkpoint, with the index that each makes of it.

    A probe that fails answers nothing, with a warning that names its plugin.
    """
    for name, family in registry.families.items():
        for probe in family.probes:
            configs = {f: _config(source, f) for f in (*probe.folders, *probe.others)}
            there = {folder: config for folder, config in configs.items() if config is not None}
            if not there.keys() >= set(probe.folders):
                continue
            try:
                with guarded(PluginError, ours=False):
                    found = load_target(probe.target)(dict(content), there)
                    made = None if found is None else {**content, **found}
            except PluginError as error:
                _log.warning(
                    "the plugin %s can't tell whether a checkpoint is its own (%s), so it is "
                    "taken for none of its own; update that package",
                    registry.plugins[name],
                    error,
                )
                continue
            if made is not None:
                yield name, made
                break


def _config(source: Source, folder: str) -> dict[str, Any] | None:
    """The config of a component, empty where it has none; None where there is no such folder."""
    names = source.files(folder)
    config = next((f"{folder}/{name}" for name in CONFIGS if name in names), None)
    return (source.json(config) if config else {}) if names else None
