"""`model_index.json`: which pipeline a checkpoint is, its components and its options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard

from ..config import read_json_object
from ..errors import CheckpointError, ConfigError, UnsafeCheckpointError
from .names import is_plain, shown

INDEX_NAME = "model_index.json"

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
    folder = Path(folder)
    file = folder / INDEX_NAME
    if not file.is_file():
        raise CheckpointError(_why_no_index(folder))
    return parse_index(read_json_object(file), file)


def parse_index(content: Mapping[str, Any], file: Path) -> Index:
    """Check the content of an index; `file` is where it was read. Raises as `read_index`."""
    class_name = content.get("_class_name")
    if isinstance(class_name, list):
        raise UnsafeCheckpointError(
            f"{file} names a pipeline in a code file of its own ({shown(class_name)}), and code of "
            f"a checkpoint is never run; a custom pipeline is an installed plugin"
        )
    if not _is_class_name(class_name):
        raise ConfigError(
            f"{file} must give the pipeline's class as '_class_name', and gives "
            f"{shown(class_name)}; fetch the checkpoint again"
        )
    components: dict[str, Pair | None] = {}
    options: dict[str, Any] = {}
    for name, entry in content.items():
        if name.startswith("_"):
            continue
        if not _looks_like_a_pair(entry):
            options[name] = entry
        elif not is_plain(name):
            raise UnsafeCheckpointError(
                f"{file} calls a component {shown(name)}, which is no plain folder name; don't use "
                f"this checkpoint unless you trust it"
            )
        else:
            components[name] = _pair(entry, name, file)
    return Index(
        class_name=class_name,
        components=MappingProxyType(components),
        options=MappingProxyType(options),
        folder=file.parent,
    )


def _looks_like_a_pair(entry: object) -> bool:
    return (
        isinstance(entry, list)
        and len(entry) == 2
        and all(part is None or isinstance(part, str) for part in entry)
    )


def _pair(entry: list[Any], name: str, file: Path) -> Pair | None:
    library, class_name = entry
    if library is None and class_name is None:
        return None
    if library is None or class_name is None:
        raise ConfigError(
            f"{file} gives {shown(entry)} for the component {shown(name)}, where [library, class] "
            f"or [null, null] is expected; correct the entry"
        )
    known = is_plain(library) and _LIBRARY.fullmatch(library)
    if not known or not _is_class_name(class_name):
        raise UnsafeCheckpointError(
            f"{file} gives {shown(entry)} for the component {shown(name)}, which are no names of "
            f"a library and a class; don't use this checkpoint unless you trust it"
        )
    return library, class_name


def _is_class_name(name: object) -> TypeGuard[str]:
    return is_plain(name) and str(name).isidentifier()


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
    return f"{folder} holds no {INDEX_NAME}, so it is not the folder of a pipeline{hint}"
