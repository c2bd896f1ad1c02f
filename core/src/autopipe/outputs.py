"""What calls return: small records that can be read by attribute, by name or by position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class BaseOutput:
    """Base of output dataclasses. Fields that are None are left out of tuples and `keys()`.

    Subclasses are decorated with `@dataclass`.
    """

    def keys(self) -> list[str]:
        """The names of the fields that hold something."""
        return [f.name for f in fields(self) if getattr(self, f.name) is not None]  # type: ignore[arg-type]

    def to_tuple(self) -> tuple[Any, ...]:
        """The values of the fields that hold something, in order."""
        return tuple(getattr(self, name) for name in self.keys())

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(key)
            return getattr(self, key)
        return self.to_tuple()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __len__(self) -> int:
        return len(self.keys())


@dataclass
class ImagePipelineOutput(BaseOutput):
    """`images`: a list of `PIL.Image.Image` of length B, or an array of shape (B, H, W, C)."""

    images: list[Image] | np.ndarray
