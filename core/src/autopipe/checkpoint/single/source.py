"""A single file as the source of a checkpoint."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ...errors import CheckpointError
from ...wording import listed
from ..exchange import HEADS
from ..formats.headers import Header
from ..source import LocalSource, Source
from .layout import Contents
from .tensors import Tensors

if TYPE_CHECKING:
    from torch import Tensor

    from ..formats.tensors import Target

_INDEX = HEADS[0]
_SUFFIXES = {"safetensors": ".safetensors", "bin": ".bin"}
_STEMS = {"transformers": ("model", "pytorch_model")}
_STEM = "diffusion_pytorch_model"


class SingleFileSource(Source):
    """A single file, which looks like the folder of the same checkpoint.

    The weights of its networks lie in the file. All other files lie in `base`: the folder or
    repository that the caller gives as `config`, or a temporary folder with what the reader says.

    Attributes:
        layout: the name of the layout.
        contents: what it contains.
        tensors: its tensors.
        base: the source of everything that is not in the file.
    """

    hint = "pass config= with the folder of the same kind of checkpoint"

    def __init__(
        self, layout: str, tensors: Tensors, contents: Contents, base: Source | None
    ) -> None:
        self.layout, self.tensors, self.contents = layout, tensors, contents
        self.base = _temporary(contents) if base is None else base
        super().__init__(self.base.root, str(tensors.file), follow_links=self.base.follow_links)
        self._weights = {
            f"{name}/{_stem(one.library, tensors.format)}{_SUFFIXES[tensors.format]}": one.weights
            for name, one in contents.networks.items()
        }

    def files(self, *folder: str) -> Mapping[str, int]:
        """See `Source`."""
        found = self.base.files(*folder)
        own = {
            path.rpartition("/")[2]: self.tensors.size(weights)
            for path, weights in self._weights.items()
            if path.rpartition("/")[0] == "/".join(folder)
        }
        if not own:
            return found
        rest = {name: size for name, size in found.items() if not _is_weights(name)}
        return {**rest, **own}

    def json(self, path: str) -> dict[str, Any]:
        """See `Source`."""
        if path == _INDEX and path not in self.base.files():
            raise CheckpointError(_no_pipeline(self))
        return {**self.base.json(path), **self.contents.changes.get(path, {})}

    def header(self, path: str) -> Header:
        """See `Source`."""
        weights = self._weights.get(path)
        if weights is None:
            return self.base.header(path)
        if path not in self._headers:
            self._headers[path] = self.tensors.header(weights)
        return self._headers[path]

    def place(self, path: str) -> Path:
        """See `Source`."""
        return self.tensors.file if path in self._weights else self.base.place(path)

    def label(self, folder: tuple[str, ...]) -> Path:
        """See `Source`."""
        is_here = not folder or "/".join(folder) in self.contents.networks
        return self.tensors.file.joinpath(*folder) if is_here else self.base.label(folder)

    def pickled(self, paths: Iterable[str], target: Target) -> dict[str, Tensor]:
        """See `Source`."""
        every = list(paths)
        if every[0] in self._weights:
            return self.tensors.taken(self._weights[every[0]], target)
        return self.base.pickled(every, target)

    def inside(self, path: str) -> Path:
        """See `Source`."""
        return self.base.inside(path)

    def open(self, file: Path, largest: int | None = None) -> BinaryIO:
        """See `Source`."""
        owner = self.tensors.folder if file == self.tensors.file else self.base
        return owner.open(file, largest)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """See `Source`."""
        with self.base.unchanged(), self.tensors.folder.unchanged():
            yield

    def missing(self, paths: Iterable[str]) -> list[str]:
        """See `Source`."""
        return self.base.missing(path for path in paths if path not in self._weights)

    def fetch(self, paths: Iterable[str], *, thoroughly: bool = False) -> Path:
        """See `Source`."""
        others = [path for path in paths if path not in self._weights]
        return self.base.fetch(others, thoroughly=thoroughly)


def _stem(library: str, format: str) -> str:
    safe, pickled = _STEMS.get(library, (_STEM, _STEM))
    return safe if format == "safetensors" else pickled


def _is_weights(name: str) -> bool:
    return name.endswith((*_SUFFIXES.values(), ".index.json")) or ".safetensors.index." in name


def _no_pipeline(source: SingleFileSource) -> str:
    found = source.contents.networks
    name, network = next(iter(found.items()))
    return (
        f"{source.name} has the layout {source.layout}: it contains {listed(found)} alone, not a "
        f"pipeline; load it with {network.name}.from_single_file and pass the result as {name}= "
        f"when you load a pipeline"
    )


def _temporary(contents: Contents) -> Source:
    """Return a temporary folder with the small files, which is deleted with its source."""
    root = Path(tempfile.mkdtemp(prefix="autopipe-"))
    source = LocalSource(root)
    weakref.finalize(source, shutil.rmtree, root, ignore_errors=True)
    networks = contents.networks.items()
    files = {f"{name}/config.json": one.config for name, one in networks} | dict(contents.files)
    if contents.pipeline is not None:
        classes = {name: [one.library, one.name] for name, one in networks}
        files[_INDEX] = {"_class_name": contents.pipeline, **contents.others, **classes}
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(exist_ok=True)
        if isinstance(content, Mapping):
            file.write_text(json.dumps(content, default=list), encoding="utf-8")
        else:
            file.write_bytes(content())
    return source
