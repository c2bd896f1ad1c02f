"""Checkpoints without an index, or with one that names no class: families recognise theirs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..config import read_json_object
from ..discovery import Plugin
from ..errors import UnsupportedCheckpointError
from ..manifest import Probe
from ..registry import Registry
from ..targets import load_target
from .index import INDEX_NAME, Index, parse_index, read_index
from .source import LocalSource, Source

_log = logging.getLogger(__name__)

CONFIGS = (
    "config.json",
    "scheduler_config.json",
    "tokenizer_config.json",
    "preprocessor_config.json",
)
"""What the config of a component may be called."""


def open_index(source: Source, registry: Registry) -> Index:
    """The index of a checkpoint; where it names no class, the one that a family makes of it.

    Raises:
        CheckpointError, ConfigError, UnsafeCheckpointError: as `read_index`.
        UnsupportedCheckpointError: several families take it for theirs.
    """
    content: dict[str, Any] = {}
    if INDEX_NAME in source.files():
        content = read_json_object(source.fetch([INDEX_NAME]) / INDEX_NAME)
    if content.get("_class_name") is None:
        answers = dict(_answers(source, content, registry))
        if len(answers) > 1:
            raise UnsupportedCheckpointError(
                f"{source.name} names no pipeline class, and {' and '.join(sorted(answers))} both "
                f"take it for theirs; load it with from_pretrained of the class that you mean, "
                f"or write '_class_name' into its {INDEX_NAME}"
            )
        for content in answers.values():
            return parse_index(content, source.fetch([]) / INDEX_NAME)
    # What is wrong is told best by looking at a local folder.
    if isinstance(source, LocalSource):
        return read_index(source.root)
    return read_index(source.fetch([INDEX_NAME]))


def _answers(
    source: Source, content: Mapping[str, Any], registry: Registry
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The families that recognise the checkpoint, with the index that each makes of it."""
    for name, family in registry.families.items():
        for probe in family.probes:
            configs = _configs(source, probe)
            if all(folder in configs for folder in probe.folders):
                found = _asked(probe, registry.plugins[name], content, configs)
                if found is not None:
                    yield name, {**content, **found}
                    break


def _asked(
    probe: Probe, plugin: Plugin, content: Mapping[str, Any], configs: dict[str, dict[str, Any]]
) -> dict[str, Any] | None:
    """What a probe answers; None, with a warning that names the plugin, if it fails."""
    try:
        found = load_target(probe.target)(dict(content), configs)
        return None if found is None else dict(found)
    except Exception as error:
        _log.warning(
            "the plugin %s can't tell whether a checkpoint is its own (%s: %s), so it is taken "
            "for none of its own; update that package",
            plugin,
            type(error).__name__,
            error,
        )
        return None


def _configs(source: Source, probe: Probe) -> dict[str, dict[str, Any]]:
    """The config of every folder that `probe` asks for and that is there, empty without one."""
    found: dict[str, dict[str, Any]] = {}
    for folder in (*probe.folders, *probe.others):
        names = source.files(folder)
        if names:
            config = next((name for name in CONFIGS if name in names), None)
            found[folder] = {} if config is None else _read(source, Path(folder) / config)
    return found


def _read(source: Source, path: Path) -> dict[str, Any]:
    return read_json_object(source.fetch([path.as_posix()]) / path)
