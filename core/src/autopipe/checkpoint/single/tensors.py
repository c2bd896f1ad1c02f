"""The tensors of a single file. At first only names, dtypes and shapes are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ArgumentTypeError, DamagedFileError
from ..formats.headers import Header, TensorInfo, read_header, reading
from ..formats.kinds import SAFE
from ..source import LocalSource
from .layout import Piece, Weights

if TYPE_CHECKING:
    from torch import Tensor

    from ..formats.tensors import Target


class Tensors:
    """The tensors of a file, or of a state dict.

    Attributes:
        file: the file.
        format: `"safetensors"` or `"bin"`.
        infos: dtype and shape of each tensor, by name.
        numbers: the numbers that a pickle stores beside its tensors.
    """

    def __init__(self, file: Path, state: Mapping[str, Any] | None = None) -> None:
        self.file = file
        self.folder = LocalSource(file.parent, follow_links=True)
        self.numbers: Mapping[str, float] = {}
        self._header: Header | None = None
        self._state: dict[str, Tensor] = {}
        if state is None and file.suffix == SAFE:
            self.format, self._header = "safetensors", read_header(file, self.folder.open)
            self.infos: Mapping[str, TensorInfo] = self._header.tensors
            return
        self.format = "bin"
        self._state = self._unpickled() if state is None else _checked(state)
        self.infos = {name: info_of(tensor) for name, tensor in self._state.items()}

    def _unpickled(self) -> dict[str, Tensor]:
        from ..formats.tensors import unpickled

        with reading(self.file), self.folder.open(self.file) as stream:
            state, self.numbers = unpickled(self.file, stream)
        return state

    def header(self, weights: Weights) -> Header:
        """Return a header for the tensors of one network, which lie inside this file.

        Raises:
            WeightsMismatchError: if a tensor doesn't have the parts that a piece takes.
        """
        assert self._header is not None
        found = {name: self._place(piece) for name, piece in weights.items()}
        ordered = sorted(found.items(), key=lambda item: item[1].offset)
        return Header(dict(ordered), self._header.size)

    def _place(self, piece: Piece) -> TensorInfo:
        whole = self.infos[piece.source]
        size = whole.size // piece.parts
        return TensorInfo(
            whole.dtype,
            piece.shape_of(whole.shape),
            whole.offset + piece.part * size,
            size * piece.count,
            piece.transposed,
            piece.swapped,
        )

    def size(self, weights: Weights) -> int:
        """Return the size of a network's tensors in bytes."""
        return sum(
            self.infos[piece.source].size // piece.parts * piece.count for piece in weights.values()
        )

    def taken(self, weights: Weights, target: Target) -> dict[str, Tensor]:
        """Return the tensors of a network from an unpickled file, in the dtypes of `target`."""
        found = {}
        for name, piece in weights.items():
            tensor = self._state[piece.source]
            shape = piece.shape_of(tuple(tensor.shape))
            if piece.parts > 1:
                each = tensor.shape[0] // piece.parts
                tensor = tensor.narrow(0, piece.part * each, shape[0])
            tensor = tensor.reshape(shape)
            if piece.transposed:
                tensor = tensor.t()
            if piece.swapped:
                tensor = tensor.roll(len(tensor) // 2, dims=0)
            found[name] = tensor.to(target(name, tensor.dtype)).contiguous()
        return found


def _checked(state: Mapping[str, Any]) -> dict[str, Tensor]:
    import torch

    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ArgumentTypeError(
                f"a state dict maps names to tensors, not {type(name).__name__} to "
                f"{type(tensor).__name__}"
            )
    return dict(state)


def info_of(tensor: Tensor) -> TensorInfo:
    from ..formats.tensors import NAMES_OF_DTYPES

    name = NAMES_OF_DTYPES.get(tensor.dtype)
    if name is None:
        raise DamagedFileError(f"a tensor has the dtype {tensor.dtype}, which weights never have")
    return TensorInfo(name, tuple(tensor.shape), 0, tensor.nbytes)
