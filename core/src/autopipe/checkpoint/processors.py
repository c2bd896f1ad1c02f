"""Tokenizers and image processors: transformers reads them, after their folder was checked.

What transformers opens is decided by the files in the folder, by their configs, and by its
release. So everything in the folder is checked, not only what is expected there: no entry is a
link that leads out, and no config hands over a path.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config import read_json_object
from ..errors import AutopipeError, CheckpointError, ConfigError, UnsafeCheckpointError
from .headers import check_content
from .limits import LARGEST_SIDE, check_sizes
from .names import inside, is_plain, shown
from .transformers import is_listed_class

_TOKENIZER_CONFIGS = ("tokenizer_config.json", "special_tokens_map.json")
_IMAGE_CONFIGS = ("preprocessor_config.json", "processor_config.json")

_NAMES = ("vocab_file", "merges_file", "tokenizer_file", "spm_file", "gguf_file")
"""Entries that some releases of transformers open as files."""

_CONTENT = ("vocab", "merges", "init_inputs", "tokenizer_object")
"""Entries through which a config could hand over a path in place of content."""

_LARGEST_CONFIG = 1 << 22


def load_processor(cls: Any, root: Path, folder: Path) -> Any:
    """A tokenizer or image processor from the files in `folder`.

    Args:
        cls: a class of transformers, or another one with `from_pretrained(folder)`.
        root: the checkpoint, which `folder` is in.

    Raises:
        CheckpointError: a file is absent or malformed, or a package that it needs is.
        UnsafeCheckpointError: the folder or a config in it leads outside.
    """
    _check_entries(root, folder)
    for name in _TOKENIZER_CONFIGS:
        if (folder / name).is_file():
            _check_tokenizer_config(cls, folder / name)
    for name in _IMAGE_CONFIGS:
        if (folder / name).is_file():
            check_sizes(read_json_object(folder / name), folder / name, LARGEST_SIDE)
    keywords = {"local_files_only": True} if is_listed_class(cls) else {}
    try:
        return cls.from_pretrained(str(folder), **keywords)
    except (AutopipeError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the tokenizers package is no Exception
        raise CheckpointError(_why_not(cls, folder, error)) from error


def _check_entries(root: Path, folder: Path) -> None:
    """Raise for links that lead out of `root`, and for files that are Git LFS pointers."""
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            inside(root, (Path(place) / name).relative_to(root).as_posix())
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.is_file():
            with file.open("rb") as stream:
                check_content(file, stream.read(64), file.stat().st_size)


def _check_tokenizer_config(cls: Any, file: Path) -> None:
    if file.stat().st_size > _LARGEST_CONFIG:
        raise ConfigError(f"{file} is larger than any config; fetch it again")
    content = read_json_object(file)
    for name, value in content.items():
        is_name = name in (*_NAMES, *getattr(cls, "vocab_files_names", {}))
        if is_name and value is not None and not _is_in(file.parent, value):
            raise UnsafeCheckpointError(
                f"{file} names the file {shown(value)} as its {name}, which is no file of its own "
                f"folder; remove that entry"
            )
        if name.endswith("_files") and not _are_in(file.parent, value):
            raise UnsafeCheckpointError(
                f"{file} names the files {shown(value)} as its {name}, which are not all in its "
                f"own folder; remove that entry"
            )
        if name in _CONTENT and value:
            raise UnsafeCheckpointError(
                f"{file} has the entry {name!r}, which could name files elsewhere; remove "
                f"that entry"
            )


def _is_in(folder: Path, name: object) -> bool:
    return is_plain(name) and (folder / str(name)).is_file()


def _are_in(folder: Path, names: object) -> bool:
    every = list(names.values()) if isinstance(names, Mapping) else names
    return not every or (isinstance(every, list) and all(_is_in(folder, one) for one in every))


def _why_not(cls: Any, folder: Path, error: BaseException) -> str:
    name = cls.__name__
    model = next((f.name for f in folder.glob("*.model")), None)
    if model and not (folder / "tokenizer.json").is_file():
        for package, module in (
            ("sentencepiece", "sentencepiece"),
            ("protobuf", "google.protobuf"),
        ):
            if not _is_installed(module):
                return (
                    f"{name} reads {folder / model} with the package {package}, which is not "
                    f"installed. Run: pip install {package}"
                )
    present = ", ".join(sorted(f.name for f in folder.iterdir())) if folder.is_dir() else "nothing"
    return (
        f"{name} can't be loaded from {folder}, which holds {present}: {error}; fetch the "
        f"checkpoint again"
    )


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
