"""What a reader knows about one layout of single files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from ...errors import WeightsMismatchError
from ..formats.headers import TensorInfo

Config: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Piece:
    """A tensor of a network as it is taken from a tensor of the file. Nothing is copied for it.

    Attributes:
        source: the name of the tensor in the file.
        part, parts: which of how many equal parts along its first axis.
        count: how many of these parts, from `part` on.
        matrix: drop axes of size 1 after the second, as of the weight of a 1x1 convolution.
        transposed: whether the file has the two axes the other way round.
        swapped: whether the file has the two halves along the first axis the other way round.
    """

    source: str
    part: int = 0
    parts: int = 1
    matrix: bool = False
    transposed: bool = False
    count: int = 1
    swapped: bool = False

    def shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of this piece of a tensor of `shape`, before it is transposed.

        Raises:
            WeightsMismatchError: if that tensor has no such parts or axes.
        """
        rest = shape[1:]
        if self.matrix and len(shape) > 2 and set(shape[2:]) == {1}:
            rest = shape[1:2]
        parts = 2 * self.parts if self.swapped else self.parts
        divided = parts == 1 or (shape and shape[0] % parts == 0)
        if not divided or (self.transposed and len(shape) != 2):
            wanted = f"{parts} equal parts" if parts > 1 else "two axes"
            raise WeightsMismatchError(
                f"the tensor {self.source} has the shape {shape}, which doesn't have {wanted}; "
                f"fetch the file again"
            )
        return (shape[0] // self.parts * self.count, *rest) if shape else ()


Weights: TypeAlias = Mapping[str, Piece]
"""The tensors of a network, by the names of its parameters."""


@dataclass(frozen=True)
class SingleFile:
    """A single file, and what the caller says about it.

    Attributes:
        file: its path, for messages.
        tensors: its tensors, by name.
        numbers: the numbers that it stores beside them, such as `global_step`.
        config: returns the config of a component that the caller gives, or None.
        original: the config of its authors' code that the caller gives, or None.
        prediction_type: what the network predicts, if the caller says it.
        scheduler_type: the short name of a scheduler that the caller asks for, or None.
    """

    file: Path
    tensors: Mapping[str, TensorInfo]
    numbers: Mapping[str, float] = field(default_factory=dict)
    config: Callable[[str], Config | None] = lambda component: None
    original: Config | None = None
    prediction_type: str | None = None
    scheduler_type: str | None = None

    def under(self, prefix: str) -> dict[str, TensorInfo]:
        """Return the tensors whose names begin with `prefix`, by the rest of their names."""
        size = len(prefix)
        return {name[size:]: one for name, one in self.tensors.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class Network:
    """A network in a single file.

    Attributes:
        library, name: its class, as the index of a folder names it.
        config: the content of its config; what the caller gives is used in its place.
        weights: its tensors.
    """

    library: str
    name: str
    config: Config
    weights: Weights


@dataclass(frozen=True)
class Contents:
    """What a single file contains, as the folder of the same checkpoint would have it.

    Attributes:
        networks: the networks, by component.
        pipeline: the class of the pipeline; None for a file with one network.
        others: the index entries of the other components, and options of the pipeline.
        files: further files: the content by path, such as `scheduler/scheduler_config.json`; JSON
            objects as mappings, others as functions that return bytes. They are not called if the
            caller gives such files.
        changes: entries by path that replace those of JSON files, even if the caller gives them.
        assumed: what was assumed, and the keyword with which a caller says otherwise; for the log.
    """

    networks: Mapping[str, Network]
    pipeline: str | None = None
    others: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Config | Callable[[], bytes]] = field(default_factory=dict)
    changes: Mapping[str, Config] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Joined:
    """A tensor of a single file as it is made from tensors of a component.

    Attributes:
        component: the component.
        names: the names of its tensors, joined along the first axis.
        transposed: whether the file has the two axes the other way round.
        kernel: add two axes of size 1, as of the weight of a 1x1 convolution.
    """

    component: str
    names: tuple[str, ...]
    transposed: bool = False
    kernel: bool = False


class Layout(ABC):
    """One layout of single files. A reader of a manifest names a subclass.

    It gets names and shapes only; the loader takes the tensors from the file without copying them.

    Attributes:
        left_out: networks that such a file has no place for, and that may be left out when one is
            written.
    """

    left_out: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def read(cls, file: SingleFile) -> Contents:
        """Return what `file` contains.

        Raises:
            WeightsMismatchError: if its tensors don't have the shapes of this layout.
        """

    @classmethod
    def write(
        cls, pipeline: str, components: Mapping[str, tuple[Config, Mapping[str, TensorInfo]]]
    ) -> Mapping[str, Joined] | None:
        """Return the tensors of the file with these components; None if this is not their layout.

        Args:
            pipeline: the class of the pipeline.
            components: the config and the tensors of each network.
        """
        return None
