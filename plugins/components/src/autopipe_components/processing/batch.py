"""What tokenizers and image processors return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from tokenizers import Encoding

from autopipe.errors import ArgumentError
from autopipe.wording import shown


class Batch(dict[str, Any]):
    """Values by key, which can be read as attributes too; `**batch` passes them to a network.

    A number as key gives the encoding of that row, a slice the values of those rows.

    Attributes:
        encodings: by row, what the `tokenizers` package knows of it, such as the word of each
            token; None if the values are not those of texts.
    """

    encodings: list[Encoding] | None

    def __init__(
        self,
        values: Mapping[str, Any],
        encodings: list[Encoding] | None = None,
        *,
        return_tensors: str | None = None,
    ) -> None:
        """Make a batch.

        Args:
            values: by name, one value for each row.
            return_tensors: `"pt"` for tensors, `"np"` for arrays, None for the values as they are.

        Raises:
            ArgumentError: if it is something else, or the rows have different lengths.
        """
        super().__init__(_converted(values, return_tensors))
        self.encodings = encodings

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no value {name!r}") from None

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int) and self.encodings is not None:
            return self.encodings[key]
        if isinstance(key, slice):
            return {name: value[key] for name, value in self.items()}
        return super().__getitem__(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self), self.encodings)

    def tokens(self, row: int = 0) -> list[str]:
        """Return the tokens of a row as text."""
        return list(self._encoding(row).tokens)

    def word_ids(self, row: int = 0) -> list[int | None]:
        """Return for each token of a row the number of its word; None for special tokens."""
        return list(self._encoding(row).word_ids)

    def to(
        self,
        device: torch.device | str | int | torch.dtype | None = None,
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Move all tensors, and cast those of floats, in place; return this batch."""
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        for name, value in self.items():
            if isinstance(value, torch.Tensor):
                self[name] = value.to(device, dtype if value.is_floating_point() else None)
        return self

    def _encoding(self, row: int) -> Encoding:
        if self.encodings is None:
            raise ArgumentError("only a batch that a tokenizer made from texts has tokens")
        return self.encodings[row]


def _converted(values: Mapping[str, Any], kind: str | None) -> Iterator[tuple[str, Any]]:
    """Yield the values as tensors or arrays."""
    if kind not in (None, "pt", "np"):
        raise ArgumentError(f"return_tensors must be 'pt', 'np' or None, not {shown(kind)}")
    for name, value in values.items():
        if kind is None or isinstance(value, torch.Tensor):
            yield name, value
            continue
        try:
            array = np.asarray(value, dtype=None if np.size(value) else np.int64)
        except ValueError:
            raise ArgumentError(
                f"the rows of {name} have different lengths; ask for padding=True and "
                f"truncation=True, or for lists with return_tensors=None"
            ) from None
        yield name, torch.from_numpy(array) if kind == "pt" else array
