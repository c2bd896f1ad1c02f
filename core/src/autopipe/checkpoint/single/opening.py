"""Opens a single file: finds the reader of its layout, and lets it say what the file contains."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import (
    CheckpointError,
    PluginError,
    QuantizedWeightsError,
    UnsupportedCheckpointError,
)
from ...manifest import Reader
from ...registry import Registry
from ...resolution.guard import guarded
from ...resolution.targets import load_target
from ...wording import logger, shown
from ..formats.headers import reading
from ..formats.kinds import PICKLED, SAFE, is_gguf, layout_of, quantized_by
from ..source import LocalSource, Source
from .layout import Config, Contents, Layout, Network, Piece, SingleFile
from .source import SingleFileSource
from .tensors import Tensors

_log = logger(__name__)


@dataclass(frozen=True)
class Said:
    """What the caller says about a single file.

    Attributes:
        config: the source of configs, and of what the file lacks.
        subfolder: the folder of the network's config in it, if it was given.
        network: the class of the network to load; None for a pipeline.
        original: the config of the authors' code.
        prediction_type: what the U-Net predicts.
        scheduler_type: the short name of a scheduler.
    """

    config: Source | None = None
    subfolder: str | None = None
    network: type | None = None
    original: Config | None = None
    prediction_type: str | None = None
    scheduler_type: str | None = None

    def config_of(self, component: str) -> dict[str, Any] | None:
        """Return the config of a component that the caller gives; None if there is none."""
        if self.config is None:
            return None
        folders = [component]
        if self.network is not None:
            folders = ["", component] if self.subfolder is None else [self.subfolder]
        for folder in folders:
            if "config.json" in self.config.files(*filter(None, folder.split("/"))):
                return self.config.json(f"{folder}/config.json".lstrip("/"))
        if self.network is None:
            return None
        raise CheckpointError(
            f"config={shown(self.config.name)} has no config.json in "
            f"{' or '.join(repr(one) for one in folders)}; pass subfolder= with its folder"
        )


def list_tensors(file: Path) -> Tensors:
    """Open a file of tensors; only names, dtypes and shapes are read.

    Raises:
        CheckpointError: if it has another format, or can't be read.
        QuantizedWeightsError: if its weights are quantized.
    """
    with reading(file), LocalSource(file.parent, follow_links=True).open(file) as stream:
        if is_gguf(stream.read(4)):
            raise QuantizedWeightsError.of(file, "GGUF")
    if file.suffix not in (SAFE, *PICKLED):
        raise CheckpointError(
            f"{file} is a file; give the folder of a checkpoint, or a single file "
            f"({', '.join((SAFE, *PICKLED))})"
        )
    return Tensors(file)


def open_single(tensors: Tensors, registry: Registry, said: Said) -> Source:
    """Return the source for a single file.

    Raises:
        UnsupportedCheckpointError: if no reader, or more than one, recognises its layout.
        QuantizedWeightsError: if its weights are quantized.
        PluginError: if the reader fails.
        WeightsMismatchError: if its tensors don't have the shapes of the layout.
    """
    method = quantized_by(tensors.infos)
    if method:
        raise QuantizedWeightsError.of(tensors.file, method)
    reader = _reader(tensors, registry, said)
    if reader is None:
        return SingleFileSource("of this library", tensors, _alone(tensors, said), None)
    layout: Any = load_target(reader.target)
    if not (isinstance(layout, type) and issubclass(layout, Layout)):
        return _written(tensors.file, reader, layout)
    file = SingleFile(
        tensors.file,
        tensors.infos,
        tensors.numbers,
        said.config_of,
        said.original,
        said.prediction_type,
        said.scheduler_type,
    )
    with guarded(lambda reason: _failed(reader, tensors.file, reason)):
        contents: Contents = layout.read(file)
    for text in contents.assumed:
        _log.info("%s: %s", tensors.file, text)
    base = said.config if said.network is None else None
    return SingleFileSource(reader.name, tensors, contents, base)


def _reader(tensors: Tensors, registry: Registry, said: Said) -> Reader | None:
    """Return the reader of a file; None if it has a network's own names, whose config is given."""
    try:
        return registry.reader(tensors.infos, str(tensors.file))
    except UnsupportedCheckpointError as error:
        hint = layout_of(tensors.infos)
        if said.network is not None and said.config is not None:
            return None
        if hint and "from_single_file" not in hint:
            raise UnsupportedCheckpointError(
                f"{tensors.file} is not a checkpoint. {hint}"
            ) from error
        raise


def _alone(tensors: Tensors, said: Said) -> Contents:
    assert said.network is not None
    pieces = {name: Piece(name) for name in tensors.infos}
    config = said.config_of("") or {}
    return Contents({"network": Network("diffusers", said.network.__name__, config, pieces)})


def _failed(reader: Reader, file: Path, reason: str) -> PluginError:
    return PluginError(
        f"the reader {shown(reader.name)} failed on {file} ({reason}); update its package"
    )


def _written(file: Path, reader: Reader, write: Any) -> Source:
    """Let a reader write a temporary folder.

    It is deleted with the source; weights that are mapped from it stay valid.
    """
    folder = tempfile.mkdtemp(prefix="autopipe-")
    source = LocalSource(Path(folder), str(file))
    weakref.finalize(source, shutil.rmtree, folder, ignore_errors=True)
    with guarded(lambda reason: _failed(reader, file, reason)):
        write(file, source.root)
    return source


def component_of(source: Source, cls: type) -> str:
    """Return the folder of the network of class `cls` in a single file; empty for other sources.

    Raises:
        UnsupportedCheckpointError: if the file has no such network.
    """
    if not isinstance(source, SingleFileSource):
        return ""
    names: Mapping[str, Network] = source.contents.networks
    known = {base.__name__ for base in cls.__mro__}
    for name, network in names.items():
        if network.name in known:
            return name
    has = ", ".join(f"{name} ({network.name})" for name, network in names.items())
    raise UnsupportedCheckpointError(
        f"{source.name} has the layout {source.layout}, with {has}, and no {cls.__name__}; give "
        f"the file of a {cls.__name__}"
    )
