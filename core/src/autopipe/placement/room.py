"""Estimates the memory that networks and calls take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import ArgumentError, PlacementError
from ..sizes import size_text
from ..wording import shown
from .base import Role, bytes_of, tensors_of
from .devices import whole_memory

# The number of tensors of the size of the first block's output that are alive at once, measured
# with the published configs: 7 for decoders of latents (at the resolution of pixels), 33 to 52 for
# a U-Net with guidance, without materialised attention scores. Kernels take another quarter.
_OF_A_DECODER, _OF_OTHERS = 7, 52
# Transformers hold 10 to 18 tensors of the width of their tokens for each row, and guidance has two
# rows, except in networks that embed its scale, which have 18 for one.
_OF_BLOCKS = 24
_KERNELS = 1.25

_CERTAIN = 2
"""The factor by which an estimate must exceed the memory of a device to be certain."""


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


def check_weights(networks: Iterable[nn.Module], device: torch.device, item: int | None) -> None:
    """Check that the weights of `networks` fit on `device`, before the first of them is moved.

    Main memory is not checked: they are there, or stay in their files.

    Args:
        item: the bytes of each floating-point number there; None if they are not cast.

    Raises:
        PlacementError: if they take more than the whole memory of the device.
    """
    whole = None if device.type == "cpu" else whole_memory(device)
    if whole is None:
        return
    sizes = {network: sum(_sizes_of(network, item)) for network in networks}
    takes, most = sum(sizes.values()), max(sizes.values(), default=0)
    if takes > whole:
        way = "model" if most <= whole else "sequential"
        raise PlacementError(
            f"the weights take {size_text(takes)}, but {device} has {size_text(whole)}; call "
            f"enable_{way}_cpu_offload(), or fit_memory(), which chooses what fits, in place of "
            f"to(), or load them in a smaller dtype"
        )


def _sizes_of(network: nn.Module, item: int | None) -> Iterator[int]:
    for tensor in tensors_of(network):
        is_cast = item is not None and tensor.is_floating_point()
        yield tensor.numel() * (item if is_cast and item is not None else tensor.element_size())


def works_of(
    works: Iterable[tuple[nn.Module | None, int, int]], pictures: int
) -> Iterator[tuple[int, nn.Module, int, int]]:
    """Yield for each network an estimate of its activations in bytes, and the size of its input.

    Args:
        works: the networks that process images (None if absent), each with the height and width
            of its input, in the units of its config. Tiling reduces the size. The height of
            sequences is 1.
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
            extent = f"height and width ({shown(height)} x {shown(width)} in {name})"
            if _is_of_sequences(network):
                extent = f"the length ({shown(width)} in {name})"
            raise ArgumentError(
                f"{extent} and the batch size "
                f"({shown(pictures)}, prompts x num_images_per_prompt) would take about "
                f"{size_text(work)}, but {device} has {size_text(whole)}; reduce them, or pass "
                f"check_memory=False to try anyway"
            )


def _work_of(network: nn.Module, height: int | None = None, width: int | None = None) -> int:
    """Estimate the activations of `network` for one image, by default at training resolution.

    A network whose config has no `block_out_channels` can tell in `sample_width` how many channels
    it has for each cell of its sample, such as the width of a token divided by the cells of a
    patch, and in `trained_sample_size` the size at training, if its config has no `sample_size`.
    For a given size, which may be refused, only one tensor of that width counts, which is certain.
    """
    config: Any = getattr(network, "config", None)
    widths = getattr(config, "block_out_channels", None)
    size = getattr(config, "sample_size", None) or getattr(network, "trained_sample_size", None)
    first = next(tensors_of(network), None)
    least = getattr(network, "sample_width", None)
    if first is None:
        return 0
    if least is not None and height is not None and width is not None:
        return int(least * height * width * first.element_size())
    if not size:
        return 0
    if height is None or width is None:
        height, width = (size, size) if isinstance(size, int) else size
        if _is_of_sequences(network):
            height = 1
    if not widths:
        cells = (least or 0) * height * width
        return int(_KERNELS * _OF_BLOCKS * cells * first.element_size())
    tensors = _OF_A_DECODER if hasattr(network, "decode") else _OF_OTHERS
    bits = 4 if getattr(config, "force_upcast", False) else first.element_size()
    return int(_KERNELS * tensors * widths[0] * height * width * bits)


def _is_of_sequences(network: nn.Module) -> bool:
    """Whether the samples of `network` have a length only, as its attribute `sample_axes` says."""
    return getattr(network, "sample_axes", 2) == 1
