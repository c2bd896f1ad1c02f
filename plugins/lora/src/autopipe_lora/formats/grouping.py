"""Gathers the tensors of a file by the layer that their keys name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from autopipe.errors import ArgumentTypeError, DamagedFileError, UnsupportedCheckpointError
from autopipe.wording import listed, shown

from .keys import read_key, refused_kind, why_skipped


@dataclass
class Group:
    """The tensors of one layer by role, and the keys that they have in the file."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> int | None:
        """The rank of the change; None if it is whole, or can't be told."""
        for role, axis in _RANKS.items():
            if role in self.tensors and self.tensors[role].ndim >= 2:
                return int(self.tensors[role].shape[axis])
        return None


_RANKS = {"down": 0, "hada_w1_b": 0, "lokr_w2_b": 0, "lokr_w1_b": 0}
"""The axis of the rank, by role."""


def group(
    tensors: Mapping[str, Tensor], origin: object
) -> tuple[dict[str, Group], dict[str, str], str]:
    """Return the layers by the stem of their keys, the skipped keys with reasons, and the format.

    Raises:
        ArgumentTypeError: if `tensors` has anything other than tensors by name.
        DamagedFileError: if a tensor is there twice.
        UnsupportedCheckpointError: if it is a kind of file that can't be read.
    """
    groups: dict[str, Group] = defaultdict(Group)
    skipped: dict[str, str] = {}
    styles: Counter[str] = Counter()
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ArgumentTypeError(
                f"{origin} has {shown(tensor)} under {shown(name)}; a LoRA has tensors by name"
            )
        key = read_key(name)
        if key is None or not key.stem:
            if (kind := refused_kind(name)) is not None:
                raise UnsupportedCheckpointError(
                    f"{origin} contains {kind}, as its key {shown(name)} says; only LoRA, LoCon, "
                    f"DoRA, LoHa, LoKr and differences of weights can be read"
                )
            skipped[name] = why_skipped(name)
            continue
        layer = groups[key.stem]
        if key.role in layer.keys:
            raise DamagedFileError(
                f"{origin} has {shown(layer.keys[key.role])} and {shown(name)}, which are the same"
            )
        layer.tensors[key.role], layer.keys[key.role] = tensor, name
        styles[key.style] += 1
    del styles[""]
    return groups, skipped, listed(sorted(styles)) or "unknown"
