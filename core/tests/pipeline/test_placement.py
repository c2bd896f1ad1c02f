"""Placement: whatever it is, calls give the same; views inherit it, and modes can be switched."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from support.relay import (
    MODES,
    OFFLOADED,
    Coder,
    PaintingPipeline,
    RelayPipeline,
    linear,
    relay,
    state,
)

from autopipe.errors import ClosedPipelineError, PlacementError
from autopipe.placement import room
from autopipe.placement.base import float32_copy, placed_by

Mode = Callable[[RelayPipeline], object]
each_mode = pytest.mark.parametrize("name", MODES)
each_offload = pytest.mark.parametrize("name", OFFLOADED)


@each_mode
def test_every_mode_gives_what_the_resident_pipeline_gives(
    name: str, modes: dict[str, Mode], pipe: RelayPipeline, expected: torch.Tensor
) -> None:
    modes[name](pipe)
    before = state(pipe)
    assert torch.equal(pipe(), expected)
    assert torch.equal(pipe(), expected)
    assert state(pipe) == before


@pytest.mark.parametrize("first", MODES)
@pytest.mark.parametrize("second", MODES)
def test_modes_follow_each_other_in_any_order(
    first: str, second: str, modes: dict[str, Mode], expected: torch.Tensor
) -> None:
    direct, switched = relay(), relay()
    modes[second](direct)
    for name in (first, first, second, second):
        modes[name](switched)
    assert state(switched) == state(direct)
    assert torch.equal(switched(), expected)
    switched.remove_all_hooks()
    assert state(switched) == state(relay())
    assert torch.equal(switched(), expected)


@each_mode
def test_the_weights_come_back_in_the_same_memory(
    name: str, modes: dict[str, Mode], pipe: RelayPipeline
) -> None:
    before = {n: p.clone() for n, p in pipe.coder.named_parameters()}
    modes[name](pipe)
    pipe()
    pipe.remove_all_hooks()
    after = dict(pipe.coder.named_parameters())
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_weights_that_a_device_cannot_hold_are_refused_before_any_moves(
    pipe: RelayPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`meta` stands for an accelerator, to which 408 bytes would go."""
    before = state(pipe)
    for whole, way in ((407, "model"), (87, "sequential")):
        monkeypatch.setattr(room, "whole_memory", lambda device, whole=whole: whole)
        with pytest.raises(PlacementError, match=rf"take 408 B, but meta .*enable_{way}_cpu"):
            pipe.to("meta")
        assert state(pipe) == before
        pipe.to("cpu")
    monkeypatch.setattr(room, "whole_memory", lambda device: 204)
    with pytest.raises(PlacementError, match="take 816 B"):
        pipe.to("meta", torch.float64)
    pipe.to("meta", torch.float16)
    assert all(one.is_meta for one in pipe.coder.parameters())


# Views


@each_offload
def test_views_inherit_what_is_in_force(
    name: str, modes: dict[str, Mode], pipe: RelayPipeline
) -> None:
    plain = PaintingPipeline.from_pipe(relay())()
    early = PaintingPipeline.from_pipe(pipe)
    modes[name](pipe)
    late = PaintingPipeline.from_pipe(early)
    for view in (early, late):
        assert view.placement.title == pipe.placement.title
        assert torch.equal(view(), plain)
    late.remove_all_hooks()
    assert pipe.placement.title == "resident"
    assert not hasattr(pipe.painter, "_hf_hook")


@each_offload
def test_what_a_view_adds_is_placed_too(
    name: str, modes: dict[str, Mode], pipe: RelayPipeline, expected: torch.Tensor
) -> None:
    guide = pipe.guide
    small = RelayPipeline.from_pipe(pipe, guide=None)
    small = RelayPipeline(small.reader, small.painter, small.coder, guard=small.guard)
    modes[name](small)
    added = RelayPipeline.from_pipe(small, guide=guide)
    assert placed_by(guide) is not None
    assert torch.equal(added(), expected)


@each_offload
def test_a_network_put_in_later_is_placed_at_the_next_call(
    name: str, modes: dict[str, Mode], pipe: RelayPipeline, expected: torch.Tensor
) -> None:
    painter = pipe.painter
    modes[name](pipe)
    pipe.painter = linear()
    pipe()
    assert placed_by(painter) is None
    assert not painter.weight.is_meta
    pipe.painter = painter
    assert torch.equal(pipe(), expected)
    assert placed_by(painter) is not None


def test_pipelines_made_one_by_one_may_share_networks(
    pipe: RelayPipeline, expected: torch.Tensor
) -> None:
    other = RelayPipeline(**pipe.components)
    pipe.enable_sequential_cpu_offload(device="cpu")
    assert torch.equal(other(), expected)
    other.enable_model_cpu_offload(device="cpu")
    assert torch.equal(pipe(), expected)
    assert torch.equal(other(), expected)
    other.remove_all_hooks()
    pipe.remove_all_hooks()
    assert state(pipe) == state(relay())


def test_a_network_with_hooks_of_its_owner_is_left_alone(expected: torch.Tensor) -> None:
    pipe = relay()
    cpu_offload(pipe.painter, torch.device("cpu"))
    pipe.enable_model_cpu_offload(device="cpu")
    assert torch.equal(pipe(), expected)
    pipe.remove_all_hooks()
    assert pipe.painter.weight.is_meta
    assert torch.equal(pipe(), expected)
    assert pipe._execution_device == torch.device("cpu")


# What else works with it


@each_offload
def test_casting_and_saving(name: str, modes: dict[str, Mode], pipe: RelayPipeline) -> None:
    modes[name](pipe)
    before = state(pipe)
    assert pipe.to(torch.float64).dtype is torch.float64
    assert all(item.dtype is torch.float64 for item in pipe.placement)
    pipe.to(torch.float32)
    assert state(pipe) == before
    with pipe._pool.at_rest():
        assert not any(hasattr(network, "_hf_hook") for network in pipe._networks().values())
        assert all(not tensor.is_meta for tensor in pipe.coder.parameters())
    assert state(pipe) == before


def test_moving_an_offloaded_pipeline(
    pipe: RelayPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    pipe.enable_model_cpu_offload(device="cpu")
    assert pipe.to("cpu") is pipe
    assert not caplog.records
    assert pipe.to("meta") is pipe
    assert "remove_all_hooks" in caplog.text
    assert pipe.painter.weight.device.type == "cpu"
    pipe.enable_sequential_cpu_offload(device="cpu")
    pipe.to("cpu")
    with pytest.raises(PlacementError, match="remove_all_hooks"):
        pipe.to("meta")
    with pytest.raises(ValueError, match="sequential"):
        pipe.to("meta", torch.float16)
    assert pipe.dtype is torch.float32
    pipe.set_device_map("balanced")
    with pytest.raises(PlacementError, match="reset_device_map"):
        pipe.to("cpu")
    pipe.reset_device_map()
    assert pipe.hf_device_map is None
    pipe.to("cpu")


@pytest.mark.parametrize(
    "place",
    [
        lambda pipe: pipe.to("cuda:7"),
        lambda pipe: pipe.set_device_map("cuda:7"),
        lambda pipe: pipe.set_device_map({"painter": "cuda:7", "": "cpu"}),
        lambda pipe: pipe.enable_model_cpu_offload(device="cuda:7"),
        lambda pipe: pipe.enable_sequential_cpu_offload(device="cuda:7"),
        lambda pipe: pipe.fit_memory("1GB", device="cuda:7"),
    ],
)
def test_a_device_that_is_not_there_changes_nothing(
    place: Mode, pipe: RelayPipeline, expected: torch.Tensor
) -> None:
    pipe.enable_model_cpu_offload(device="cpu")
    before = state(pipe), pipe.explain()
    with pytest.raises(PlacementError, match=r"'cuda:7' is not available.* finds .*cpu"):
        place(pipe)
    assert (state(pipe), pipe.explain()) == before
    assert torch.equal(pipe(), expected)


@pytest.mark.parametrize(
    "place",
    [lambda pipe: pipe.set_device_map("meta"), lambda pipe: pipe.fit_memory("1GB", device="meta")],
)
def test_what_comes_later_joins_networks_that_are_on_one_device(
    place: Mode, pipe: RelayPipeline
) -> None:
    place(pipe)
    added = linear()
    view = RelayPipeline.from_pipe(pipe, guide=added)
    assert added.weight.is_meta
    assert view._execution_device == torch.device("meta")
    pipe.to("meta")
    assert pipe.hf_device_map is None, "a move by hand ends the map"
    RelayPipeline.from_pipe(pipe, guide=(later := linear()))
    assert not later.weight.is_meta


def test_hf_device_map_is_that_of_the_reference(pipe: RelayPipeline, tmp_path: Path) -> None:
    assert pipe.hf_device_map is None
    pipe.set_device_map("cpu")
    assert pipe.hf_device_map == "cpu"
    pipe.set_device_map({"": "cpu", "guard": "disk"}, offload_folder=tmp_path)
    assert pipe.hf_device_map == {
        "reader": "cpu", "painter": "cpu", "coder": "cpu", "guide": "cpu", "guard": "disk",
    }  # fmt: skip
    pipe.enable_model_cpu_offload(device="cpu")
    assert pipe.hf_device_map is None


def test_closing_an_offloaded_pipeline(pipe: RelayPipeline, tmp_path: Path) -> None:
    view = PaintingPipeline.from_pipe(pipe)
    pipe.set_device_map({"": "disk"}, offload_folder=tmp_path)
    assert list(tmp_path.iterdir())
    with view:
        view()
    with pytest.raises(ClosedPipelineError):
        pipe()
    with pytest.raises(ClosedPipelineError):
        pipe.enable_model_cpu_offload(device="cpu")
    assert not list(tmp_path.iterdir()), "what was written for the pipeline is gone with it"


@each_mode
def test_a_float32_copy_is_placed_as_the_network_is(
    name: str, modes: dict[str, Mode], pipe: RelayPipeline
) -> None:
    pipe.to(torch.bfloat16)
    modes[name](pipe)
    before = state(pipe)
    x = torch.ones(1, 4)
    plain = relay()
    wanted = plain.to(torch.bfloat16).to(torch.float32).coder.decode(x)
    pipe.coder.decode(x.bfloat16())  # what the first use imports refers to its frames
    gc.collect()
    made: Any
    gc.disable()
    try:
        with float32_copy(pipe.coder) as made:
            assert (placed_by(made) is None) == (placed_by(pipe.coder) is None)
            assert torch.equal(made.decode(x), wanted)
        alive = weakref.ref(made)
        del made
        assert alive() is None, "its memory is free at once"
    finally:
        gc.enable()
    assert state(pipe) == before


def test_the_coder_of_these_tests_needs_its_entry_point() -> None:
    # Without it, weights of its own would not be there: so the tests above mean something.
    coder = Coder()
    cpu_offload(coder, torch.device("cpu"))
    with pytest.raises((RuntimeError, NotImplementedError)):
        Coder.decode.__wrapped__(coder, torch.ones(1, 4)).sum().item()  # type: ignore[attr-defined]
