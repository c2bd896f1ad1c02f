"""Reads `model_index.json`: the pipeline class of a checkpoint, its components and its options.

If a checkpoint has no index, or one without a class, families may recognise it by their probes.
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
    QuantizedWeightsError,
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
from .formats.kinds import found_instead, gguf_among
from .names import is_plain
from .source import LocalSource, Source

_log = logger(__name__)

INDEX_NAME, CONFIGS = HEADS[0], HEADS[1:]
"""The name of the index, and the possible names of a component's config."""

Pair = tuple[str, str]
"""An index entry for a class: (library, class name)."""

_LIBRARY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Index:
    """A validated index. The names in it have not been looked up.

    Attributes:
        class_name: the name of the pipeline class.
        components: the entry of each component; None if the index says that it is absent.
        options: the other entries, plain JSON values, including null.
        folder: the folder of the index.
    """

    class_name: str
    components: Mapping[str, Pair | None]
    options: Mapping[str, Any]
    folder: Path


def read_index(folder: str | Path) -> Index:
    """Read and check the index in `folder`.

    Raises:
        CheckpointError: if there is no such folder, or it has no index.
        ConfigError: if the index is not valid JSON, or an entry is malformed.
        UnsafeCheckpointError: if it names its own code, or a path for a component.
    """
    file = Path(folder) / INDEX_NAME
    check_whole(file.parent)
    if not os.path.lexists(file):
        raise CheckpointError(_why_no_index(file.parent))
    return parse_index(read_json_object(file), file)


def open_index(source: Source, registry: Registry) -> Index:
    """Return the index of a checkpoint; if it names no class, the one that a family's probe makes.

    Raises:
        CheckpointError, ConfigError, UnsafeCheckpointError: as for `read_index`.
        UnsupportedCheckpointError: if several families recognise it.
        QuantizedWeightsError: if it has no index and its weights are of llama.cpp (GGUF).
    """
    present = INDEX_NAME in source.files()
    content = source.json(INDEX_NAME) if present else {}
    if content.get("_class_name") is None:
        answers = dict(_answers(source, content, registry))
        if len(answers) > 1:
            raise UnsupportedCheckpointError(
                f"{source.name} names no pipeline class, and {' and '.join(sorted(answers))} both "
                f"recognise it; load it with from_pretrained of a pipeline class, or write "
                f"'_class_name' into its {INDEX_NAME}"
            )
        content = next(iter(answers.values()), content)
        if not present and not answers:
            if quantized := gguf_among(source.files()):
                raise QuantizedWeightsError.of(f"{source.name}/{quantized}", "GGUF")
            if isinstance(source, LocalSource):
                raise CheckpointError(_why_no_index(source.root))
            content = source.json(INDEX_NAME)
    return parse_index(content, source.label(()) / INDEX_NAME)


def parse_index(content: Mapping[str, Any], file: Path) -> Index:
    """Check the content of an index read from `file`. Raises the errors of `read_index`."""
    class_name = content.get("_class_name")
    if isinstance(class_name, list):
        raise UnsafeCheckpointError(
            f"{file} names a pipeline in its own code file ({shown(class_name)}), but code of a "
            f"checkpoint is never run; install the custom pipeline as a plugin"
        )
    if not is_plain(class_name) or not class_name.isidentifier():
        raise ConfigError(
            f"'_class_name' in {file} must be the name of a pipeline class, not "
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
                f"{file} has a component {shown(name)}, which is not a plain folder name; use this "
                f"checkpoint only if you trust it"
            )
        library, kind = entry
        known = is_plain(library) and _LIBRARY.fullmatch(library) and is_plain(kind)
        if entry == [None, None]:
            components[name] = None
        elif None in entry:
            raise ConfigError(
                f"the component {shown(name)} in {file} must be [library, class] or [null, null], "
                f"not {shown(entry)}; correct the entry"
            )
        elif known and kind.isidentifier():
            components[name] = library, kind
        else:
            raise UnsafeCheckpointError(
                f"the component {shown(name)} in {file} is {shown(entry)}, which are not names of "
                f"a library and a class; use this checkpoint only if you trust it"
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
            f"{folder} has no {INDEX_NAME} and contains a single network; load it with "
            f"from_pretrained of its own class, or give the folder of the pipeline"
        )
    inner = sorted(p.parent.name for p in folder.glob(f"*/{INDEX_NAME}"))
    hint = f" (did you mean {folder / inner[0]}?)" if inner else ""
    instead = "" if inner else found_instead((p.name for p in folder.iterdir()), folder)
    return (
        f"{folder} has no {INDEX_NAME}, so it is not the folder of a pipeline"
        f"{hint or (instead and f'; {instead}')}"
    )


def _answers(
    source: Source, content: Mapping[str, Any], registry: Registry
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the families that recognise the checkpoint, each with the index that it makes.

    A probe that fails is skipped with a warning that names its plugin.
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
                    "a probe of the plugin %s failed (%s), so its family can't recognise this "
                    "checkpoint; update that package",
                    registry.plugins[name],
                    error,
                )
                continue
            if made is not None:
                yield name, made
                break


def _config(source: Source, folder: str) -> dict[str, Any] | None:
    """Return the config of a component, empty if it has none; None if there is no such folder."""
    names = source.files(folder)
    config = next((f"{folder}/{name}" for name in CONFIGS if name in names), None)
    return (source.json(config) if config else {}) if names else None
