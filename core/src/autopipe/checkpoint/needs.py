"""The memory that weights take, computed from the headers of their files without torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .formats.headers import ITEM_BYTES, Header

Cast = Callable[[str, str], str]
"""A function from a tensor's name and its dtype in the file to that in memory, such as `"BF16"`."""


@dataclass(frozen=True)
class Need:
    """The memory for the weights of one component, in bytes.

    Attributes:
        name: the name of the component.
        weights: all weights.
        copied: those that loading copies into memory. The others stay in their files: the system
            reads what is used, and drops it when memory is short.
        layer: the largest layer, which is all that sequential offload has on a device.
        computes: whether layers can compute with the dtype of the weights.
    """

    name: str
    weights: int
    copied: int
    layer: int
    computes: bool = True


def as_stored(name: str, dtype: str) -> str:
    """Keep the dtype of the file; see `Cast`."""
    return dtype


def cast_to(dtype: str) -> Cast:
    """Return the function that casts floating-point tensors to `dtype`, such as `"BF16"`."""
    return lambda name, own: dtype if "F" in own else own


def need_of(name: str, headers: Iterable[Header], cast: Cast, is_read: bool = False) -> Need:
    """Return what the component `name` takes, whose weights have these headers.

    Args:
        cast: the dtypes that its tensors get.
        is_read: whether files are read, even if nothing is cast.
    """
    layers = Counter[str]()
    weights = copied = 0
    for header in headers:
        sizes = {
            tensor: info.size * ITEM_BYTES[cast(tensor, info.dtype)] // ITEM_BYTES[info.dtype]
            for tensor, info in header.tensors.items()
        }
        for tensor, size in sizes.items():
            layers[tensor.rpartition(".")[0]] += size
        weights += sum(sizes.values())
        # A file of which one tensor is cast is not mapped.
        if is_read or any(cast(n, one.dtype) != one.dtype for n, one in header.tensors.items()):
            copied += sum(sizes.values())
    return Need(name, weights, copied, max(layers.values(), default=0))


def largest(needs: Sequence[Need]) -> Need | None:
    """Return the component with most weights, which is what model offload has on a device."""
    return max(needs, key=lambda one: one.weights, default=None)


def largest_layer(needs: Sequence[Need]) -> Need | None:
    """Return the component with the largest layer."""
    return max(needs, key=lambda one: one.layer, default=None)
