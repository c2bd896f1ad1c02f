"""Estimates the memory of calls under each placement, and chooses one that fits a budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import ArgumentError
from ..sizes import parse_size, size_text
from ..wording import shown
from .base import Placement, Role, bytes_of, tensors_of
from .device_map import DISK, DeviceMap
from .devices import CPU, DeviceLike, free_memory, main_device, whole_memory
from .offload import ModelOffload, SequentialOffload

AUTO = "auto"

# The number of tensors of the size of the first block's output that are alive at once, measured
# with the published configs: 7 for decoders of latents (at the resolution of pixels), 33 to 52 for
# a U-Net with guidance, without materialised attention scores. Kernels take another quarter.
_OF_A_DECODER, _OF_OTHERS = 7, 52
_KERNELS = 1.25

_CERTAIN = 2
"""The factor by which an estimate must exceed the memory of a device to be certain."""

_SPACIOUS = 4
"""Batch size up to which no slicing is needed at the training resolution."""


@dataclass(frozen=True)
class Footprint:
    """The memory of a network, in bytes.

    Attributes:
        name: the name of the component.
        weights: all weights.
        layer: the own weights of the largest module.
        work: an estimate of the activations for one image; 0 if the config is not enough.
        role: see `Role`.
    """

    name: str
    weights: int
    layer: int
    work: int
    role: Role


def footprints_of(
    networks: Mapping[str, nn.Module], roles: Mapping[nn.Module, Role]
) -> list[Footprint]:
    """Return the footprint of each of `networks`."""
    return [
        Footprint(
            name,
            bytes_of(network),
            max((bytes_of(module, recurse=False) for module in network.modules()), default=0),
            _work_of(network),
            roles.get(network, Role(name)),
        )
        for name, network in networks.items()
    ]


def works_of(
    works: Iterable[tuple[nn.Module | None, int, int]], pictures: int
) -> Iterator[tuple[int, nn.Module, int, int]]:
    """Yield for each network an estimate of its activations in bytes, and the size of its input.

    Args:
        works: the networks that process images (None if absent), each with the height and width
            of its input, in the units of its config. Tiling reduces the size.
        pictures: the batch size.
    """
    for network, height, width in works:
        if network is None:
            continue
        if getattr(network, "use_tiling", False):
            side = int(getattr(network, "tile_sample_min_size", max(height, width)))
            height, width = min(height, side), min(width, side)
        many = 1 if getattr(network, "use_slicing", False) else pictures
        yield _work_of(network, height, width) * many, network, height, width


def check_room(
    works: Iterable[tuple[nn.Module | None, int, int]], pictures: int, device: torch.device
) -> None:
    """Check that `device` is not certainly too small for a call.

    Activations are estimated, so only calls that need twice the memory of the device are refused.

    Args:
        works, pictures: see `works_of`.

    Raises:
        ArgumentError: if a network would need more than that.
    """
    whole = whole_memory(device)
    if whole is None:
        return
    for work, network, height, width in works_of(works, pictures):
        if work > _CERTAIN * whole:
            name = type(network).__name__
            raise ArgumentError(
                f"height and width ({shown(height)} x {shown(width)} in {name}) and the batch size "
                f"({shown(pictures)}, prompts x num_images_per_prompt) would take about "
                f"{size_text(work)}, but {device} has {size_text(whole)}; reduce them, or pass "
                f"check_memory=False to try anyway"
            )


def _work_of(network: nn.Module, height: int | None = None, width: int | None = None) -> int:
    """Estimate the activations of `network` for one image, by default at training resolution."""
    config: Any = getattr(network, "config", None)
    widths = getattr(config, "block_out_channels", None)
    size = getattr(config, "sample_size", None)
    first = next(tensors_of(network), None)
    if not widths or not size or first is None:
        return 0
    if height is None or width is None:
        height, width = (size, size) if isinstance(size, int) else size
    tensors = _OF_A_DECODER if hasattr(network, "decode") else _OF_OTHERS
    bits = 4 if getattr(config, "force_upcast", False) else first.element_size()
    return int(_KERNELS * tensors * widths[0] * height * width * bits)


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
