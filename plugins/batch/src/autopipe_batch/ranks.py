"""The part of a batch that one of several programs draws, as launchers such as accelerate start."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from autopipe.errors import ArgumentError
from autopipe.wording import shown

_Any = TypeVar("_Any")

_NAMES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
     "OMPI_COMM_WORLD_LOCAL_SIZE"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
)  # fmt: skip
"""The variables of torch's launcher, of Open MPI, and of Intel MPI; accelerate uses all three."""


@dataclass(frozen=True)
class Rank:
    """The place of this program among those that a launcher started.

    Attributes:
        number: its number, from 0.
        count: the number of programs.
        local: its number on this machine, from 0.
        local_count: the number of programs on this machine.
    """

    number: int = 0
    count: int = 1
    local: int = 0
    local_count: int = 1

    @property
    def name(self) -> str:
        """Such as `1-of-2`; empty for a single program."""
        return f"{self.number + 1}-of-{self.count}" if self.count > 1 else ""

    def part(self, everything: Sequence[_Any]) -> Sequence[_Any]:
        """Return the part of this program; the parts of all programs are disjoint."""
        return everything[self.number :: self.count]

    def device(self, here: Sequence[str]) -> str | None:
        """Return the device of this program.

        Args:
            here: the devices of this machine, accelerators first; None for the default one.
        """
        accelerators = [one for one in here if ":" in one]
        return accelerators[self.local % len(accelerators)] if accelerators else None


def rank_of(environment: Mapping[str, str] = os.environ) -> Rank:
    """Return the place that a launcher put into the environment.

    Raises:
        ArgumentError: if that is not a place.
    """
    names = next((n for n in _NAMES if n[0] in environment and n[1] in environment), None)
    if names is None:
        return Rank()
    texts = [environment.get(name) for name in names]
    try:
        number, count, local, local_count = (None if one is None else int(one) for one in texts)
    except ValueError:
        number = count = local = local_count = None
    if number is None or count is None or not 0 <= number < count <= 1 << 20:
        given = ", ".join(f"{n}={shown(environment[n])}" for n in names if n in environment)
        raise ArgumentError(
            f"the environment has {given}, which is not a place among several programs; unset "
            f"these variables, or use a launcher such as 'accelerate launch'"
        )
    local = number if local is None else local
    return Rank(number, count, max(local, 0), max(local_count or count, 1))
