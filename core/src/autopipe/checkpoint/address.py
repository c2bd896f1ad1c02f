"""Finds the checkpoint that a caller names: a folder, a demo in a wheel, or a Hub repository."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import tempfile
import weakref
from pathlib import Path

from ..errors import ArgumentTypeError, CheckpointError, PluginError, nearest
from ..registry import Registry
from ..resolution.guard import guarded
from ..resolution.targets import load_target
from ..wording import shown
from .formats.headers import read_header
from .hub.opening import open_repository
from .source import HubOptions, LocalSource, Source

DEMO = "demo:"

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
        return _of_file(folder, registry)
    if text.startswith(DEMO):
        return LocalSource(demo_folder(text.removeprefix(DEMO), registry))
    if isinstance(path, os.PathLike) or not _REPOSITORY.fullmatch(text) or text.startswith("."):
        raise CheckpointError(
            f"there is no folder {shown(text)}, and it is not a repository id like 'owner/name'; "
            f"check the path"
        )
    return open_repository(text, hub)


def _of_file(file: Path, registry: Registry) -> Source:
    """Convert a single file to a temporary folder with the reader of its layout.

    The folder is deleted with the source; weights that are mapped from it stay valid.
    """
    if file.suffix != ".safetensors":
        raise CheckpointError(
            f"{file} is a file; give the folder of a checkpoint, or a single .safetensors file of "
            f"a layout that an installed plugin reads"
        )
    reader = registry.reader(read_header(file).tensors, str(file))
    folder = tempfile.mkdtemp(prefix="autopipe-")
    source = LocalSource(Path(folder), str(file))
    weakref.finalize(source, shutil.rmtree, folder, ignore_errors=True)

    def failed(reason: str) -> PluginError:
        return PluginError(
            f"the reader {shown(reader.name)} failed on {file} ({reason}); update its package"
        )

    with guarded(failed):
        load_target(reader.target)(file, source.root)
    return source


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
