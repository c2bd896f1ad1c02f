"""Runs the code of a custom pipeline, which the caller names and trusts.

Only `custom_pipeline=` together with `trust_remote_code=True` leads here; nothing in a checkpoint
does. The files are read once, after the checks of every file of a checkpoint, and what was read is
what runs.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ArgumentError, CheckpointError, UnsafeCheckpointError
from ..wording import error_summary, listed, logger, shown
from .community import MAIN, without_file
from .hub.opening import open_repository
from .source import HubOptions, LocalSource, Source

_log = logger(__name__)

_LARGEST, _MOST = 1 << 20, 32
"""The limits: bytes of a file, and number of files."""

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Code:
    """The source of a custom pipeline: the file that defines it, and those that it imports.

    Attributes:
        main: the name of its module.
        files: the path and the content of each file, by the name of its module.
        origin: the folder, or the repository with its commit.
    """

    main: str
    files: Mapping[str, tuple[Path, bytes]]
    origin: str

    @property
    def digest(self) -> str:
        """The SHA-256 of the files with their names."""
        found = hashlib.sha256()
        for name, (_, content) in sorted(self.files.items()):
            found.update(f"{name} {len(content)} ".encode() + content)
        return found.hexdigest()


def custom_class(
    asked: str | Path, base: type, hub: HubOptions, preferred: str | None = None
) -> type:
    """Run the code of the custom pipeline `asked`, and return the class that it defines.

    Args:
        asked: a file, a folder with `pipeline.py`, or a repository id of the Hub with one.
        base: the base of all pipelines.
        hub: the options for the Hub; the revision is that of the code.
        preferred: the name of the class, if the code defines several.

    Raises:
        ArgumentError: if there is no such file, folder or repository.
        CheckpointError: if the code can't be read or fails.
        UnsafeCheckpointError: if a file is a link that leads out of its folder, or is too large.
    """
    code = read_code(*_located(asked, hub))
    _log.warning(
        "running code that comes with no package, because trust_remote_code=True allows it: %s "
        "(files: %s; SHA-256 %s)",
        code.origin,
        listed(sorted(str(path) for path, _ in code.files.values())),
        code.digest,
    )
    module = _run(code)
    found = [
        one
        for one in vars(module).values()
        if inspect.isclass(one) and issubclass(one, base) and one.__module__ == module.__name__
    ]
    names = {one.__name__: one for one in found}
    if len(names) > 1 and preferred in names:
        return names[preferred]
    if len(names) == 1:
        return found[0]
    if names:
        raise ArgumentError(
            f"{code.origin} defines several pipelines ({listed(names)}); leave one in the file"
        )
    raise ArgumentError(
        f"{code.origin} defines no pipeline of autopipe: no subclass of DiffusionPipeline. If it "
        f"imports diffusers, import autopipe.as_diffusers first (package autopipe-compat)"
    )


def read_code(source: Source, main: str) -> Code:
    """Read the file `main` of `source` and the files beside it that it imports, each once.

    Raises:
        CheckpointError: if a file is absent or is not Python.
        UnsafeCheckpointError: as for `custom_class`.
    """
    files: dict[str, tuple[Path, bytes]] = {}
    left = [main.removesuffix(".py")]
    present = source.files()
    while left:
        name = left.pop()
        if name in files:
            continue
        if len(files) == _MOST:
            raise UnsafeCheckpointError(
                f"the custom pipeline {source.origin} has more than {_MOST} files; install it as a "
                f"package"
            )
        path = source.fetch([f"{name}.py"]) / f"{name}.py"
        try:
            with source.open(path, _LARGEST) as stream:
                files[name] = path, stream.read()
        except UnsafeCheckpointError:
            raise
        except OSError as error:
            raise UnsafeCheckpointError(f"{path} can't be read as code: {error}") from error
        left += [one for one in _siblings(path, files[name][1]) if f"{one}.py" in present]
    return Code(main.removesuffix(".py"), files, source.origin)


def _located(asked: str | Path, hub: HubOptions) -> tuple[Source, str]:
    """Return the folder or repository with the code, and the name of its main file."""
    text = os.fsdecode(asked)
    path = Path(os.path.expanduser(text))
    if text and os.path.isdir(path):
        return LocalSource(path, follow_links=hub.follow_links), MAIN
    if text and os.path.isfile(path):
        if path.suffix != ".py" or not path.stem.isidentifier():
            raise ArgumentError(
                f"custom_pipeline={shown(text)} is not a Python file; give one that ends in .py, "
                f"or a folder with {MAIN}"
            )
        return LocalSource(path.parent, str(path), follow_links=hub.follow_links), path.name
    if isinstance(asked, str) and _REPOSITORY.fullmatch(text) and not text.startswith("."):
        return open_repository(text, hub), MAIN
    raise ArgumentError(without_file(text))


def _siblings(path: Path, content: bytes) -> Iterator[str]:
    """Yield the modules beside the file that its code imports by `from .name import ...`."""
    try:
        tree = ast.parse(content, str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise CheckpointError(f"{path} is not Python ({error_summary(error)})") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            names = [node.module] if node.module else [one.name for one in node.names]
            yield from (name for name in names if name.isidentifier())


class _Loader(InspectLoader):
    """Loads modules of custom code from what was read."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content = path, content

    def get_source(self, fullname: str) -> str:
        """Return the code as text, for tracebacks."""
        return importlib.util.decode_source(self._content)

    def get_filename(self, fullname: str) -> str:
        """Return the path of the file."""
        return str(self._path)

    def get_code(self, fullname: str) -> Any:
        """Return the compiled code."""
        return compile(self._content, str(self._path), "exec", dont_inherit=True)


class _Finder:
    """The import finder for the modules of custom code, by their full names."""

    def __init__(self) -> None:
        self.loaders: dict[str, _Loader | None] = {}

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that was read; the package around it has no code."""
        if fullname not in self.loaders:
            return None
        loader = self.loaders[fullname]
        if loader is None:
            return ModuleSpec(fullname, None, is_package=True)
        spec = ModuleSpec(fullname, loader, origin=loader.get_filename(fullname))
        spec.has_location = True
        return spec


_finder = _Finder()


def _run(code: Code) -> ModuleType:
    """Import the module that defines the pipeline, in a package of its own.

    Equal code is run once. If it fails, its modules are forgotten.
    """
    package = f"autopipe_custom_{code.digest}"
    if _finder not in sys.meta_path:
        sys.meta_path.append(_finder)
    _finder.loaders[package] = None
    for name, (path, content) in code.files.items():
        _finder.loaders.setdefault(f"{package}.{name}", _Loader(path, content))
    try:
        return importlib.import_module(f"{package}.{code.main}")
    except Exception as error:
        for name in [one for one in sys.modules if f"{one}.".startswith(f"{package}.")]:
            del sys.modules[name]
        hint = ""
        if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "diffusers":
            hint = ". Import autopipe.as_diffusers first (package autopipe-compat)"
        raise CheckpointError(
            f"the code of {code.origin} failed: {error_summary(error)}{hint}"
        ) from error
