"""Loads tokenizers and image processors, after checking their folder.

Which files transformers opens depends on the files in the folder, on their configs, and on its
release. So no entry of the folder may be a link that leads out, and no config may contain a path.
The classes that take the place of transformers' are held to the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ...errors import (
    AutopipeError,
    CheckpointError,
    ConfigError,
    DamagedFileError,
    UnsafeCheckpointError,
)
from ...json_files import check_parts
from ...kinds import BaseProcessor
from ...wording import error_summary, listed, shown
from ..build import check_sizes
from ..formats.headers import check_content, reading
from ..names import is_plain
from ..source import Source
from .entries import LARGEST_SIDE, ImageEntries, TokenizerEntries, check_entries
from .models import CLASSES, LIBRARY
from .tokenizers import CONFIG, check_tokenizer, check_vocabulary, is_tokenizer

_TOKENIZER_CONFIGS = (CONFIG, "special_tokens_map.json")
_IMAGE_CONFIGS = ("preprocessor_config.json", "processor_config.json")

_WHOLE = "tokenizer.json"
"""A complete tokenizer. If it is present, the files of its parts are not read."""

_NAMES = ("vocab_file", "merges_file", "tokenizer_file", "spm_file", "gguf_file")
"""Entries that some releases of transformers open as files."""

_CONTENT = ("vocab", "merges", "init_inputs", "tokenizer_object")
"""Entries that could contain a path in place of content."""

_INSIDE = (
    "_json_padding",
    "_json_truncation",
    "_spm_precompiled_charsmap",
    "post_processor",
    "tokenizer_padding",
    "tokenizer_truncation",
)
"""Entries that transformers sets itself from the files of a tokenizer."""

_LARGEST_CONFIG = 1 << 22
_LARGEST_VOCABULARY = 1 << 26
"""The largest file in bytes; the largest vocabularies have half of it."""

_MOST_WORDS = 1 << 22
"""The most JSON strings and marks of a vocabulary with merges; the largest have half of it."""


def load_processor(cls: Any, source: Source, folder: tuple[str, ...]) -> Any:
    """Load a tokenizer or image processor from the fetched files in `folder`.

    Args:
        cls: a class of transformers, or another one with `from_pretrained(folder)`.

    Raises:
        CheckpointError: if a file is absent or malformed, or a package that it needs is missing.
        ConfigError: if a config entry is invalid.
        DamagedFileError: if the vocabulary of a tokenizer is absent or incomplete.
        UnsafeCheckpointError: if a link or a config leads out of the folder.
    """
    path = source.root.joinpath(*folder)
    for file in path.rglob("*"):
        source.inside(file.relative_to(source.root).as_posix())
    _check_files(cls, source, path)
    for name in (*_TOKENIZER_CONFIGS, *_IMAGE_CONFIGS):
        if (path / name).is_file():
            if (path / name).stat().st_size > _LARGEST_CONFIG:
                raise ConfigError(
                    f"{path / name} is larger than {_LARGEST_CONFIG:,} bytes; fetch it again"
                )
            content = source.json("/".join((*folder, name)))
            if name in _TOKENIZER_CONFIGS:
                _check_tokenizer_config(cls, content, path / name)
                check_entries(TokenizerEntries, content, path / name)
            elif _is_listed(cls):
                check_entries(ImageEntries, content, path / name)
            else:
                check_sizes(content, path / name, LARGEST_SIDE)
    keywords = {"local_files_only": True} if _is_of_transformers(cls) else {}
    try:
        made = cls.from_pretrained(str(path), **keywords)
    except (AutopipeError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # panics of the tokenizers package are not `Exception`s
        content = source.json("/".join((*folder, CONFIG))) if (path / CONFIG).is_file() else {}
        raise _failure(cls, path, content, error) from error
    # Other classes may not need what is checked here, such as padding.
    if _is_listed(cls):
        check_tokenizer(made, path) if is_tokenizer(made) else _check_images(made, path)
    elif _is_of_transformers(cls) and is_tokenizer(made):
        check_vocabulary(made, path)
    return made


def _is_of_transformers(cls: type) -> bool:
    return cls.__module__.startswith(f"{LIBRARY}.")


def _reads_its_files(cls: type) -> bool:
    """Whether `cls` reads the files that transformers writes."""
    return _is_of_transformers(cls) or issubclass(cls, BaseProcessor)


def _is_listed(cls: type) -> bool:
    return cls.__name__ in CLASSES and _reads_its_files(cls)


def _check_files(cls: Any, source: Source, path: Path) -> None:
    """Raise `DamagedFileError` if a file in `path` that `cls` reads is absent or damaged."""
    present = {file.name for file in path.glob("*") if file.is_file()}
    read = {name for name in present if not name.startswith(".")}
    if _reads_its_files(cls):
        parts = set(getattr(cls, "vocab_files_names", {}).values()) - {_WHOLE}
        if _WHOLE in present:
            parts = {_WHOLE}
        elif models := {name for name in present if name.endswith(".model")}:
            parts = models
        elif _is_listed(cls) and (absent := sorted(parts - present)):
            raise DamagedFileError(
                f"the tokenizer in {path} has no vocabulary: {_WHOLE} and "
                f"{' and '.join(absent)} are absent; fetch the checkpoint again"
            )
        read &= {*parts, "added_tokens.json"}
    # Configs are checked when they are read.
    for name in read - {*_TOKENIZER_CONFIGS, *_IMAGE_CONFIGS}:
        file = path / name
        with reading(file), source.open(file) as stream:
            size = os.fstat(stream.fileno()).st_size
            check_content(file, stream.read(64), size)
            if not _reads_its_files(cls):
                continue
            if size > _LARGEST_VOCABULARY:
                raise DamagedFileError(
                    f"{file} has {size:,} bytes; the limit for vocabularies is "
                    f"{_LARGEST_VOCABULARY:,}; fetch it again"
                )
            stream.seek(0)
            try:
                check_parts(stream.read() if name.endswith(".json") else b"", _MOST_WORDS)
            except ValueError as error:
                raise DamagedFileError(f"{file} is damaged ({error}); fetch it again") from None


def _check_images(processor: Any, path: Path) -> None:
    """Raise `ConfigError` if an image processor can't process an image."""
    try:
        made = processor(Image.new("RGB", (7, 5)), return_tensors="np").pixel_values
        fits = made.ndim == 4
    except Exception as error:
        raise ConfigError(
            f"{type(processor).__name__} of {path / _IMAGE_CONFIGS[0]} can't process an image "
            f"({error_summary(error)}); correct its entries, or fetch the checkpoint again"
        ) from error
    if not fits:
        raise ConfigError(f"{path / _IMAGE_CONFIGS[0]} doesn't give images; fetch it again")


def _check_tokenizer_config(cls: Any, content: Mapping[str, Any], file: Path) -> None:
    """Raise `UnsafeCheckpointError` for entries of `file` that make transformers read files."""
    for name, value in content.items():
        if name in (*_NAMES, *getattr(cls, "vocab_files_names", {})):
            is_safe = value is None or _are_in(file.parent, [value])
        elif name.endswith("_files"):
            several = list(value.values()) if isinstance(value, Mapping) else value
            is_safe = not several or _are_in(file.parent, several)
        elif name in _INSIDE:
            is_safe = value is None
        else:
            is_safe = name not in _CONTENT or not value
        if not is_safe:
            raise UnsafeCheckpointError(
                f"{name!r} in {file} is {shown(value)}, which could read a file outside its "
                f"folder; remove that entry"
            )


def _are_in(folder: Path, names: object) -> bool:
    return isinstance(names, list) and all(
        is_plain(name) and (folder / str(name)).is_file() for name in names
    )


def _failure(
    cls: Any, folder: Path, config: Mapping[str, Any], error: BaseException
) -> CheckpointError:
    from transformers.utils import is_protobuf_available, is_sentencepiece_available

    name = cls.__name__
    # An entry that is null replaces its default.
    nulls = listed(name for name, value in config.items() if value is None)
    entries = f"; {folder / CONFIG} has null for {nulls}" if nulls else ""
    model = next(folder.glob("*.model"), None)
    needed = {"sentencepiece": is_sentencepiece_available, "protobuf": is_protobuf_available}
    absent = next((package for package, is_here in needed.items() if not is_here()), None)
    if model and not (folder / _WHOLE).is_file():
        if absent:
            return CheckpointError(
                f"{name} reads {model} with the package {absent}, which is not installed. Run: "
                f"pip install {absent}"
            )
        return DamagedFileError(
            f"{model} is damaged, or not a SentencePiece model{entries}; fetch this file again"
        )
    present = listed(sorted(file.name for file in folder.glob("*"))) or "nothing"
    return CheckpointError(
        f"{name} can't be loaded from {folder}, which contains {present} "
        f"({error_summary(error)}{entries}); fetch the checkpoint again"
    )
