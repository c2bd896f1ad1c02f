"""Tokenizers and image processors: transformers reads them, after their folder was checked.

What transformers opens is decided by the files in the folder, by their configs, and by its
release. So everything in the folder is checked, not only what is expected there: no entry is a
link that leads out, and no config hands over a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import AutopipeError, CheckpointError, ConfigError, UnsafeCheckpointError
from .build import LARGEST_SIDE, check_sizes
from .headers import check_content
from .names import is_plain, shown
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
    for file in path.rglob("*"):
        source.inside(file.relative_to(source.root).as_posix())
    for file in path.glob("*"):
        # Those that are read here are checked then.
        if file.is_file() and file.name not in (*_TOKENIZER_CONFIGS, *_IMAGE_CONFIGS):
            with file.open("rb") as stream:
                check_content(file, stream.read(64), file.stat().st_size)
    for name in (*_TOKENIZER_CONFIGS, *_IMAGE_CONFIGS):
        if (path / name).is_file():
            if (path / name).stat().st_size > _LARGEST_CONFIG:
                raise ConfigError(f"{path / name} is larger than any config; fetch it again")
            content = source.json("/".join((*folder, name)))
            if name in _IMAGE_CONFIGS:
                check_sizes(content, path / name, LARGEST_SIDE)
            else:
                _check_tokenizer_config(cls, content, path / name)
    keywords = {"local_files_only": True} if cls.__module__.startswith(f"{LIBRARY}.") else {}
    try:
        return cls.from_pretrained(str(path), **keywords)
    except (AutopipeError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the tokenizers package is no Exception
        raise CheckpointError(_why_not(cls, path, error)) from error


def _check_tokenizer_config(cls: Any, content: Mapping[str, Any], file: Path) -> None:
    """Raise `UnsafeCheckpointError` for entries of `file` through which other files are read."""
    for name, value in content.items():
        if name in (*_NAMES, *getattr(cls, "vocab_files_names", {})):
            is_safe = value is None or _are_in(file.parent, [value])
        elif name.endswith("_files"):
            several = list(value.values()) if isinstance(value, Mapping) else value
            is_safe = not several or _are_in(file.parent, several)
        else:
            is_safe = name not in _CONTENT or not value
        if not is_safe:
            raise UnsafeCheckpointError(
                f"{file} has {shown(value)} as its {name!r}, which names something else than files "
                f"of its own folder; remove that entry"
            )


def _are_in(folder: Path, names: object) -> bool:
    return isinstance(names, list) and all(
        is_plain(name) and (folder / str(name)).is_file() for name in names
    )


def _why_not(cls: Any, folder: Path, error: BaseException) -> str:
    from transformers.utils import is_protobuf_available, is_sentencepiece_available

    name = cls.__name__
    model = next(folder.glob("*.model"), None)
    needed = {"sentencepiece": is_sentencepiece_available, "protobuf": is_protobuf_available}
    absent = next((package for package, is_here in needed.items() if not is_here()), None)
    if model and absent and not (folder / "tokenizer.json").is_file():
        return (
            f"{name} reads {model} with the package {absent}, which is not installed. Run: pip "
            f"install {absent}"
        )
    present = ", ".join(sorted(file.name for file in folder.glob("*"))) or "nothing"
    return (
        f"{name} can't be loaded from {folder}, which holds {present}: {error}; fetch the "
        f"checkpoint again"
    )
