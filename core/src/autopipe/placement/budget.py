"""What calls take in each way of placing the networks, and which way fits a budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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

# How many tensors as large as the first block's output are alive at once, counted in the dispatch
# of the real configs: 7 for decoders of latents (which work on pixels), 33 to 52 for a U-Net with
# guidance, attention's scores never being whole. A quarter more is left for the kernels.
_OF_A_DECODER, _OF_OTHERS = 7, 52
_KERNELS = 1.25

_CERTAIN = 2
"""By how much an estimate has to be above the whole of a device to be sure."""

_SPACIOUS = 4
"""For so many pictures of the size that the networks were trained for, nothing has to be cut."""


@dataclass(frozen=True)
class Need:
    """The bytes that a network takes.

    Attributes:
        name: of the component.
        weights: all of them.
        layer: the largest module's own.
        work: what it computes for one picture; an estimate, 0 where the config doesn't tell.
        role: see `Role`.
    """

    name: str
    weights: int
    layer: int
    work: int
    role: Role


def needs_of(networks: Mapping[str, nn.Module], roles: Mapping[nn.Module, Role]) -> list[Need]:
    """What each of `networks` takes."""
    return [
        Need(
            name,
            bytes_of(network),
            max((bytes_of(module, recurse=False) for module in network.modules()), default=0),
            _work_of(network),
            roles.get(network, Role(name)),
        )
        for name, network in networks.items()
    ]


def check_room(
    works: Iterable[tuple[nn.Module | None, int, int]], pictures: int, device: torch.device
) -> None:
    """Refuse a call for which `device` is certainly too small.

    What networks compute is estimated, so only what takes twice the whole device is refused.

    Args:
        works: the networks that work on pictures, None where one is absent, each with the height
            and width that it works on, as its config counts them.
        pictures: how many at a time.

    Raises:
        ArgumentError: a network would take so much.
    """
    whole = whole_memory(device)
    for network, height, width in works:
        if network is None or whole is None:
            continue
        if getattr(network, "use_tiling", False):
            side = int(getattr(network, "tile_sample_min_size", max(height, width)))
            height, width = min(height, side), min(width, side)
        many = 1 if getattr(network, "use_slicing", False) else pictures
        work = _work_of(network, height, width) * many
        if work > _CERTAIN * whole:
            name = type(network).__name__
            raise ArgumentError(
                f"height and width ({shown(height)} x {shown(width)} in {name}) and pictures at a "
                f"time ({shown(pictures)}, prompts x num_images_per_prompt) would take about "
                f"{size_text(work)}, and {device} has {size_text(whole)}; make them smaller or "
                f"fewer, or pass check_memory=False to try all the same"
            )


def _work_of(network: nn.Module, height: int | None = None, width: int | None = None) -> int:
    """What `network` computes for one picture; of the size that it was trained for if not given."""
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
class Way:
    """A way of placing the networks, and the bytes of the device that a call takes with it."""

    title: str
    takes: int
    largest: str
    """What needs the most at a time, in a few words."""


def ways(needs: Sequence[Need]) -> list[Way]:
    """The ways from the fastest to the one that takes least."""
    weights = sum(need.weights for need in needs)
    work = max((need.work for need in needs), default=0)
    movable = [need for need in needs if not need.role.stays]
    stays = weights - sum(need.weights for need in movable)
    beside = stays + sum(need.weights for need in movable if not need.role.in_turn)
    found = [Way("resident", weights + work, "all weights")]
    if movable:
        own, name = max((n.work + n.weights * n.role.in_turn, n.name) for n in movable)
        found.append(Way("model offload", beside + own, name))
        layer, name = max((need.layer + need.work, need.name) for need in movable)
        found.append(Way("sequential offload", stays + layer, f"a layer of {name}"))
    return found


@dataclass(frozen=True)
class Choice:
    """The way that fits a budget.

    Attributes:
        way: the fastest that fits, or the one that takes least.
        fits: whether it does.
        is_tight: whether larger pictures or batches would not fit, so that decoding is to be cut.
        reason: why, in a few lines.
    """

    way: Way
    fits: bool
    is_tight: bool
    reason: str


def choose(found: Iterable[Way], budget: int, *, work: int, asked: str) -> Choice:
    """The first of `found` that fits into `budget`.

    Args:
        work: what the network that computes most takes for one picture.
        asked: how the budget came about, for the reason.
    """
    lines = [f"{asked} allows {size_text(budget)}"]
    for way in found:
        takes = f"{way.title} takes about {size_text(way.takes)} ({way.largest})"
        if way.takes <= budget:
            tight = budget - way.takes < (_SPACIOUS - 1) * work
            lines.append(f"{takes}: chosen")
            if tight:
                lines.append(
                    "little is left, so pictures are decoded one by one, large ones in tiles"
                )
            return Choice(way, True, tight, "\n".join(lines))
        lines.append(f"{takes}: too much")
    lines.append(f"nothing fits; {way.title} takes least, attention and decoding are cut")
    return Choice(way, False, True, "\n".join(lines))


def fit(
    networks: Mapping[str, nn.Module],
    roles: Mapping[nn.Module, Role],
    budget: int | str,
    *,
    device: DeviceLike | None = None,
    offload_folder: str | Path | None = None,
) -> tuple[Placement, Choice]:
    """The placement with which calls fit into `budget`, and how it was chosen.

    See `fit_memory` for the arguments.
    """
    main = main_device(device)
    needs = needs_of(networks, roles)
    found = ways(needs)
    if main == CPU:
        from_disk = replace(found[-1], title="from the disk")
        found = [found[0], from_disk] if offload_folder is not None else found[:1]
    is_auto = isinstance(budget, str) and budget == AUTO
    limit = _free(main, networks) * 9 // 10 if is_auto else parse_size(budget, "memory")
    choice = choose(
        found,
        limit,
        work=max((need.work for need in needs), default=0),
        asked=f"memory={shown(budget)} on {main}",
    )
    if not choice.fits and main == CPU and offload_folder is None:
        hint = "; with an offload_folder weights could rest on the disk"
        choice = replace(choice, reason=choice.reason + hint)
    for kind in (Placement, ModelOffload, SequentialOffload):
        if kind.title == choice.way.title:
            return kind(main, reason=choice.reason), choice
    on_disk = dict.fromkeys(networks, DISK)
    return DeviceMap(on_disk, main, offload_folder=offload_folder, reason=choice.reason), choice


def _free(device: torch.device, networks: Mapping[str, nn.Module]) -> int:
    """What is free on `device` once the networks have left it."""
    own = [tensor for network in networks.values() for tensor in tensors_of(network)]
    return free_memory().get(device, 0) + sum(t.nbytes for t in own if t.device == device)
