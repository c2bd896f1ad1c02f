"""Calls that a device is surely too small for."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from autopipe.errors import ArgumentError
from autopipe.placement import room
from autopipe.placement.devices import CPU, whole_memory
from autopipe.placement.room import check_room, footprints_of


class Net(nn.Module):
    """Works on 8 x 8 cells, 4 channels wide."""

    def __init__(self, **further: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(block_out_channels=(4,), sample_size=8)
        self.__dict__.update(further)


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> int:
    """A device that holds what `Net` computes for one picture of its size."""
    (footprint,) = footprints_of({"net": Net()}, {})
    monkeypatch.setattr(room, "whole_memory", lambda device: footprint.work)
    return footprint.work


def test_twice_the_device_is_the_limit(whole: int) -> None:
    check_room([(Net(), 8, 8), (None, 10**6, 10**6)], 2, CPU)
    check_room([(Net(), 16, 8)], 1, CPU)
    for height, pictures in ((8, 3), (24, 1)):
        with pytest.raises(ArgumentError, match=rf"height.*{height} x 8 in Net.*num_images"):
            check_room([(Net(), height, 8)], pictures, CPU)


def test_what_is_cut_counts_as_cut(whole: int) -> None:
    check_room([(Net(use_slicing=True), 8, 8)], 100, CPU)
    check_room([(Net(use_tiling=True, tile_sample_min_size=8), 800, 800)], 1, CPU)
    with pytest.raises(ArgumentError, match="check_memory=False"):
        check_room([(Net(use_slicing=True), 80, 80)], 1, CPU)


def test_sequences_take_what_their_length_takes(whole: int) -> None:
    long = Net(sample_axes=1)
    long.config.sample_size = 64
    (footprint,) = footprints_of({"net": long}, {})
    assert footprint.work == whole
    check_room([(long, 1, 64)], 2, CPU)
    with pytest.raises(ArgumentError, match=r"the length \(64 in Net\) and the batch size"):
        check_room([(long, 1, 64)], 3, CPU)


def test_a_network_that_tells_its_width_takes_a_tensor_of_it_at_least(whole: int) -> None:
    other = Net(sample_width=4)
    del other.config.block_out_channels
    side = math.isqrt(2 * whole // (4 * 4))  # Floats have 4 bytes.
    check_room([(other, side, side)], 1, CPU)
    with pytest.raises(ArgumentError, match="check_memory=False"):
        check_room([(other, side + 1, side + 1)], 1, CPU)


def test_the_work_of_blocks_follows_from_the_width_of_their_tokens() -> None:
    blocks = Net(sample_width=4)
    del blocks.config.block_out_channels
    assert footprints_of({"net": blocks}, {})[0].work == 1.25 * 24 * 4 * 8 * 8 * 4
    del blocks.config.sample_size
    assert footprints_of({"net": blocks}, {})[0].work == 0
    blocks.trained_sample_size = (16, 8)
    assert footprints_of({"net": blocks}, {})[0].work == 1.25 * 24 * 4 * 16 * 8 * 4


def test_an_unknown_size_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "whole_memory", lambda device: None)
    check_room([(Net(), 10**6, 10**6)], 10**6, CPU)
    assert whole_memory(torch.device("meta")) is None


def test_a_container_may_have_less_than_its_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    import autopipe.placement.machine as machine_memory

    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine_memory, "_CONTAINER", limit)
    machine = whole_memory(CPU)
    assert machine is not None
    for text, expected in (("max\n", machine), ("1000\n", 1000), (f"{2**70}\n", machine)):
        limit.write_text(text)
        assert whole_memory(CPU) == expected
