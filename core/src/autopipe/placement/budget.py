"""Chooses the placement under which calls fit a budget of memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from ..sizes import parse_size, size_text
from ..wording import shown
from .base import Placement, Role, tensors_of
from .device_map import DISK, DeviceMap
from .devices import CPU, DeviceLike, free_memory, main_device
from .offload import ModelOffload, SequentialOffload
from .room import Footprint, footprints_of

AUTO = "auto"

_SPACIOUS = 4
"""Batch size up to which no slicing is needed at the training resolution."""


@dataclass(frozen=True)
class Candidate:
    """A placement to choose from, and the bytes of device memory that a call takes with it."""

    title: str
    takes: int
    largest: str
    """What takes the most memory at once, in a few words."""


def candidates(footprints: Sequence[Footprint]) -> list[Candidate]:
    """Return the candidates from the fastest to the one that takes the least memory."""
    weights = sum(one.weights for one in footprints)
    work = max((one.work for one in footprints), default=0)
    movable = [one for one in footprints if not one.role.stays]
    stays = weights - sum(one.weights for one in movable)
    beside = stays + sum(one.weights for one in movable if not one.role.in_turn)
    found = [Candidate("resident", weights + work, "all weights")]
    if movable:
        own, name = max((one.work + one.weights * one.role.in_turn, one.name) for one in movable)
        found.append(Candidate("model offload", beside + own, name))
        layer, name = max((one.layer + one.work, one.name) for one in movable)
        found.append(Candidate("sequential offload", stays + layer, f"a layer of {name}"))
    return found


@dataclass(frozen=True)
class Choice:
    """The candidate chosen for a budget.

    Attributes:
        candidate: the fastest that fits, or the one that takes the least memory.
        fits: whether it fits.
        is_tight: whether larger images or batches would not fit, so that decoding must be sliced.
        reason: the reason, in a few lines.
    """

    candidate: Candidate
    fits: bool
    is_tight: bool
    reason: str


def choose(found: Iterable[Candidate], budget: int, *, work: int, label: str) -> Choice:
    """Choose the first candidate that fits into `budget`.

    Args:
        work: the largest activations of a network for one image, in bytes.
        label: the origin of the budget, for the reason.
    """
    lines = [f"{label} allows {size_text(budget)}"]
    for candidate in found:
        takes = f"{candidate.title} takes about {size_text(candidate.takes)} ({candidate.largest})"
        if candidate.takes <= budget:
            tight = budget - candidate.takes < (_SPACIOUS - 1) * work
            lines.append(f"{takes}: chosen")
            if tight:
                lines.append(
                    "little is left, so images are decoded one by one, large ones in tiles"
                )
            return Choice(candidate, True, tight, "\n".join(lines))
        lines.append(f"{takes}: too much")
    lines.append(f"nothing fits; {candidate.title} takes least, with sliced attention and decoding")
    return Choice(candidate, False, True, "\n".join(lines))


def fit(
    networks: Mapping[str, nn.Module],
    roles: Mapping[nn.Module, Role],
    budget: int | str,
    *,
    device: DeviceLike | None = None,
    offload_folder: str | Path | None = None,
) -> tuple[Placement, Choice]:
    """Return the placement with which calls fit into `budget`, and the choice.

    See `fit_memory` for the arguments.
    """
    main = main_device(device)
    footprints = footprints_of(networks, roles)
    found = candidates(footprints)
    if main == CPU:
        from_disk = replace(found[-1], title="from disk")
        found = [found[0], from_disk] if offload_folder is not None else found[:1]
    is_auto = isinstance(budget, str) and budget == AUTO
    limit = _free(main, networks) * 9 // 10 if is_auto else parse_size(budget, "memory")
    choice = choose(
        found,
        limit,
        work=max((one.work for one in footprints), default=0),
        label=f"memory={shown(budget)} on {main}",
    )
    if not choice.fits and main == CPU and offload_folder is None:
        hint = "; with an offload_folder, weights could stay on disk"
        choice = replace(choice, reason=choice.reason + hint)
    for kind in (Placement, ModelOffload, SequentialOffload):
        if kind.title == choice.candidate.title:
            return kind(main, reason=choice.reason), choice
    on_disk = dict.fromkeys(networks, DISK)
    return DeviceMap(on_disk, main, offload_folder=offload_folder, reason=choice.reason), choice


def _free(device: torch.device, networks: Mapping[str, nn.Module]) -> int:
    """Return the bytes that are free on `device` without the networks."""
    own = [tensor for network in networks.values() for tensor in tensors_of(network)]
    return free_memory().get(device, 0) + sum(t.nbytes for t in own if t.device == device)
