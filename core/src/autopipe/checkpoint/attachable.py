"""Opens files that get attached to a pipeline: LoRAs, embeddings, image prompt adapters.

Such a file is given by its path, by a folder or repository that contains it, by the name of a demo,
or as a state dict that the caller has loaded. What its tensors mean is decided by the add-on.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import ArgumentTypeError, CheckpointError, DamagedFileError, check_names
from ..registry import default_registry
from ..wording import listed, logger, shown
from .address import open_source
from .formats.kinds import PICKLED, SAFE
from .formats.tensors import read_content, read_safetensors
from .names import parts_of
from .options import LoadOptions, split_keywords
from .source import LocalSource, Source

_log = logger(__name__)

ANY = (f"*{SAFE}", *(f"*{suffix}" for suffix in PICKLED))
"""The patterns of all files that can be opened."""


@dataclass(frozen=True)
class TensorFile:
    """The content of a file, or a state dict that the caller gave.

    Attributes:
        content: tensors by name; in a pickle also nested dicts and lists of tensors, numbers and
            texts.
        metadata: the texts in the header of a safetensors file.
        origin: where it comes from, for messages and records.
        path: the local file; None for a state dict.
    """

    content: Mapping[str, Any]
    metadata: Mapping[str, str] = field(default_factory=dict)
    origin: str = "the given state dict"
    path: Path | None = None

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors by name.

        Raises:
            DamagedFileError: if the content is not a flat dict of tensors.
        """
        found = self.content
        if isinstance(found.get("state_dict"), Mapping):
            found = found["state_dict"]
        odd = [n for n, t in found.items() if not isinstance(n, str) or not isinstance(t, Tensor)]
        if odd:
            raise DamagedFileError(
                f"{self.origin} is not a plain state dict: {listed(map(str, odd), 3)} is not a "
                f"tensor"
            )
        return found


def open_tensors(
    source: str | Path | Mapping[str, Any],
    *,
    names: Sequence[str] = ANY,
    weight_name: str | None = None,
    subfolder: str | None = None,
    **options: Any,
) -> TensorFile:
    """Return the content of a file that is to be attached.

    Pickles are read with the restricted loader, which runs no code.

    Args:
        source: a file, a folder, a repository id, `"demo:NAME"`, or a state dict.
        names: patterns of file names; the first that a folder has a file for decides.
        weight_name: the name of the file in a folder or repository.
        subfolder: the folder with the file in a folder or repository.
        **options: the keywords of loading for repositories and links, and `use_safetensors`.

    Raises:
        ArgumentTypeError: if `source` is of another type, or a keyword is unknown.
        CheckpointError: if there is no such folder, repository or file.
        DamagedFileError: if the file is damaged.
        UnsafeCheckpointError: if a pickle contains more than data, or a link leads out.
    """
    loading, rest = split_keywords(options)
    check_names(rest, (*_KEYWORDS, "weight_name", "subfolder"), "there is no keyword")
    if isinstance(source, Mapping):
        return TensorFile(dict(source))
    if not isinstance(source, (str, os.PathLike)):
        raise ArgumentTypeError(
            f"what is attached must be a path, a repository id or a state dict, not {shown(source)}"
        )
    for name, value in (("weight_name", weight_name), ("subfolder", subfolder)):
        if value is not None and not isinstance(value, (str, os.PathLike)):
            raise ArgumentTypeError(f"{name}={shown(value)} is not a string")
    file = Path(os.path.expanduser(os.fsdecode(source)))
    if os.fsdecode(source) and os.path.exists(file) and not os.path.isdir(file):
        # The link to a file that the caller names is followed.
        real = file.resolve()
        return _read(LocalSource(real.parent, str(file)), real.name, file)
    opened = open_source(source, loading.hub, default_registry())
    folder = parts_of(subfolder)
    path = "/".join((*folder, _chosen(opened, folder, names, weight_name, loading)))
    return _read(opened, path, opened.root / path)


_KEYWORDS = ("use_safetensors", "revision", "token", "cache_dir", "force_download")


def _chosen(
    source: Source,
    folder: tuple[str, ...],
    names: Sequence[str],
    weight_name: str | None,
    options: LoadOptions,
) -> str:
    """Return the path of the file below `folder`."""
    place = "/".join((str(source.name), *folder))
    if weight_name is not None:
        parts = parts_of(weight_name, "weight_name")
        if not parts or parts[-1] not in source.files(*folder, *parts[:-1]):
            there = listed(_fitting(source.files(*folder), ANY), 5) or "none"
            raise CheckpointError(
                f"{place} has no file {shown(str(weight_name))}; those to attach: {there}"
            )
        return "/".join(parts)
    found = _fitting(source.files(*folder), names)
    if options.use_safetensors is not None:
        found = [one for one in found if one.endswith(SAFE) == options.use_safetensors]
    if not found:
        raise CheckpointError(
            f"{place} has no file of the form {listed(names)}; give weight_name= or subfolder="
        )
    if len(found) > 1:
        _log.info("of the files in %s, %s is used; weight_name= chooses another", place, found[0])
    return found[0]


def _fitting(files: Mapping[str, int], names: Sequence[str]) -> list[str]:
    """Return the names of `files` that fit a pattern, in the order of the patterns."""
    found = [one for name in names for one in sorted(files) if fnmatch.fnmatchcase(one, name)]
    return list(dict.fromkeys(found))


def _read(source: Source, path: str, shown_as: Path) -> TensorFile:
    """Read the file at `path` of `source`, whose format its name tells."""
    suffix = shown_as.suffix.lower()
    if suffix != SAFE and suffix not in PICKLED:
        raise CheckpointError(
            f"{shown_as} is not a file of tensors; give a {SAFE} or {listed(PICKLED)} file"
        )
    with source.unchanged():
        file = source.fetch([path]) / path
        if suffix == SAFE:
            header = source.header(path)
            metadata: Mapping[str, str] = header.metadata
            content: Mapping[str, Any] = read_safetensors(
                {file: header}, lambda _, dtype: dtype, None, source.open
            )
        else:
            _log.warning("%s is a pickle and is read with the restricted loader", shown_as)
            metadata, content = {}, read_content(file, source.open)
    return TensorFile(content, metadata, str(shown_as), file)
