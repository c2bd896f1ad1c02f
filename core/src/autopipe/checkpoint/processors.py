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

from ..errors import AutopipeError, CheckpointError, ConfigError, UnsafeCheckpointError
from .build import LARGEST_SIDE, check_sizes
from .headers import check_content
from .names import inside, is_plain, shown
from .source import Source
from .transformers import LIBRARY

_TOKENIZER_CONFIGS = ("tokenizer_config.json", "special_tokens_map.json")
_IMAGE_CONFIGS = ("preprocessor_config.json", "processor_config.json")

_NAMES = ("vocab_file", "merges_file", "tokenizer_file", "spm_file", "gguf_file")
"""Entries that some releases of transformers open as files."""

_CONTENT = ("vocab", "merges", "init_inputs", "tokenizer_object")
"""Entries through which a config could hand over a path in place of content."""

_LARGEST_CONFIG = 1 << 22


def load_processor(cls: Any, source: Source, folder: tuple[str, ...]) -> Any:
    """A tokenizer or image processor from the files in `folder`, which were fetched.

    Args:
        cls: a class of transformers, or another one with `from_pretrained(folder)`.

    Raises:
        CheckpointError: a file is absent or malformed, or a package that it needs is.
        UnsafeCheckpointError: the folder or a config in it leads outside.
    """
    path = source.root.joinpath(*folder)
    _check_entries(source.root, path)
    for name in (*_TOKENIZER_CONFIGS, *_IMAGE_CONFIGS):
        if (path / name).is_file():
            if (path / name).stat().st_size > _LARGEST_CONFIG:
                raise ConfigError(f"{path / name} is larger than any config; fetch it again")
            content = source.json("/".join((*folder, name)))
            if name in _IMAGE_CONFIGS:
                check_sizes(content, path / name, LARGEST_SIDE)
            else:
                _check_tokenizer_config(cls, content, path / name)
    of_transformers = cls.__module__.partition(".")[0] == LIBRARY
    keywords = {"local_files_only": True} if of_transformers else {}
    try:
        return cls.from_pretrained(str(path), **keywords)
    except (AutopipeError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the tokenizers package is no Exception
        raise CheckpointError(_why_not(cls, path, error)) from error


def _check_entries(root: Path, folder: Path) -> None:
    """Raise for links that lead out of `root`, and for files that are Git LFS pointers."""
    for above, folders, names in os.walk(folder):
        for name in (*folders, *names):
            inside(root, (Path(above) / name).relative_to(root).as_posix())
    for file in folder.iterdir() if folder.is_dir() else ():
        # Those that are read here are checked then.
        if file.is_file() and file.name not in (*_TOKENIZER_CONFIGS, *_IMAGE_CONFIGS):
            with file.open("rb") as stream:
                check_content(file, stream.read(64), file.stat().st_size)


def _check_tokenizer_config(cls: Any, content: Mapping[str, Any], file: Path) -> None:
    """Raise `UnsafeCheckpointError` for entries of `file` through which other files are read."""
    for name, value in content.items():
        is_name = name in (*_NAMES, *getattr(cls, "vocab_files_names", {}))
        several = list(value.values()) if isinstance(value, Mapping) else value
        if is_name and value is not None and not _are_in(file.parent, [value]):
            raise UnsafeCheckpointError(
                f"{file} names the file {shown(value)} as its {name}, which is no file of its own "
                f"folder; remove that entry"
            )
        if name.endswith("_files") and several and not _are_in(file.parent, several):
            raise UnsafeCheckpointError(
                f"{file} names the files {shown(value)} as its {name}, which are not all in its "
                f"own folder; remove that entry"
            )
        if name in _CONTENT and value:
            raise UnsafeCheckpointError(
                f"{file} has the entry {name!r}, which could name files elsewhere; remove "
                f"that entry"
            )


def _are_in(folder: Path, names: object) -> bool:
    return isinstance(names, list) and all(
        is_plain(name) and (folder / str(name)).is_file() for name in names
    )


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
