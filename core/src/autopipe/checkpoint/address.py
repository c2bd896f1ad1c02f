"""Finds the checkpoint that a caller names: a folder, a demo in a wheel, or a Hub repository."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import (
    ArgumentTypeError,
    CheckpointError,
    PluginError,
    QuantizedWeightsError,
    nearest,
)
from ..registry import Registry
from ..resolution.guard import guarded
from ..wording import shown
from .formats.kinds import SAFE, gguf_among, quantized_by
from .hub.opening import open_repository
from .single.opening import Said, list_tensors, open_single
from .single.tensors import Tensors
from .source import LARGE, HubOptions, LocalSource, Source

DEMO = "demo:"

_ON_HUB = re.compile(
    r"(https://)?(huggingface\.co|hf\.co)/(?P<repository>[\w.-]+/[\w.-]+)/"
    r"((blob|resolve)/(?P<revision>[^/]+)/)?(?P<path>.+?)(\?download=true)?"
)
"""The address of a file on the Hub."""

_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")


def open_source(path: str | Path, hub: HubOptions, registry: Registry) -> Source:
    """Return the source for `path`: an existing folder or file, else `demo:NAME`, else the Hub.

    Raises:
        ArgumentTypeError: if `path` is neither a string nor a path.
        CheckpointError: if there is no such folder, demo or repository, or it can't be reached.
        UnsupportedCheckpointError: if it is a single file whose layout no installed plugin reads.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentTypeError(
            f"a checkpoint must be a path or a repository id, not {type(path).__name__}"
        )
    text = os.fsdecode(path)
    folder = Path(os.path.expanduser(text))
    if text and os.path.isdir(folder):
        return LocalSource(folder, follow_links=hub.follow_links)
    if text and os.path.exists(folder):
        return open_single(list_tensors(folder), registry, Said())
    if text.startswith(DEMO):
        return LocalSource(demo_folder(text.removeprefix(DEMO), registry))
    if isinstance(path, os.PathLike) or not _REPOSITORY.fullmatch(text) or text.startswith("."):
        raise CheckpointError(
            f"there is no folder {shown(text)}, and it is not a repository id like 'owner/name'; "
            f"check the path"
        )
    return open_repository(text, hub)


def open_file(
    given: str | Path | Mapping[str, Any], hub: HubOptions, registry: Registry, said: Said
) -> Source:
    """Return the source for a single file: a path, the address of a file on the Hub, or tensors.

    Raises:
        ArgumentTypeError: if `given` is none of these.
        CheckpointError: if there is no such file, or it can't be read.
        UnsupportedCheckpointError: as for `autopipe.checkpoint.single.opening.open_single`.
        QuantizedWeightsError: if its weights are quantized.
    """
    if isinstance(given, Mapping):
        return open_single(Tensors(Path("state_dict"), given), registry, said)
    if not isinstance(given, (str, os.PathLike)):
        raise ArgumentTypeError(
            f"a single file must be a path or the URL of a file on the Hub, not "
            f"{type(given).__name__}"
        )
    text = os.fsdecode(given)
    if address := _ON_HUB.fullmatch(text):
        if gguf_among([address["path"]]):
            raise QuantizedWeightsError.of(text, "GGUF")
        revision = address["revision"] or hub.revision
        source = open_repository(address["repository"], replace(hub, revision=revision))
        path = address["path"]
        *above, name = path.split("/")
        # Of a file that is not fetched yet, that reads only the first bytes.
        is_looked_at = source.files(*above).get(name, 0) > LARGE and name.endswith(SAFE)
        method = quantized_by(source.header(path).tensors) if is_looked_at else ""
        if method:
            raise QuantizedWeightsError.of(text, method)
        file = source.fetch([path]) / path
    else:
        file = Path(os.path.expanduser(text))
    if not os.path.isfile(file):
        what = "is a folder; call from_pretrained" if file.is_dir() else "doesn't exist"
        raise CheckpointError(f"the file {shown(text)} {what}; check the path")
    return open_single(list_tensors(file), registry, said)


def demo_folder(family: str, registry: Registry) -> Path:
    """Return the folder of a family's demo checkpoint, without importing the family.

    Raises:
        CheckpointError: if no installed family of this name ships a demo checkpoint.
        PluginError: if its manifest names a folder that doesn't exist.
    """
    demos = {name: f.demo for name, f in registry.families.items() if f.demo}
    if family not in demos:
        raise CheckpointError(
            f"there is no demo checkpoint {DEMO + family!r}.{nearest(family, demos)} "
            f"Installed: {', '.join(DEMO + name for name in sorted(demos)) or 'none'}"
        )
    package, _, relative = demos[family].partition(":")
    with guarded(lambda reason: PluginError(f"the family {family} can't be read ({reason})")):
        spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (Path(folder) / relative).is_dir():
            return Path(folder) / relative
    raise PluginError(
        f"the demo folder {demos[family]} of the family {family} doesn't exist; reinstall its "
        f"package"
    )
