"""What a pipeline tells of its memory, and what it does to fit a budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.relay import RelayPipeline, relay
from torch import nn

from autopipe.errors import ArgumentError
from autopipe.placement.allocator import explanation


def test_the_layout_shows_sizes_and_places(pipe: RelayPipeline) -> None:
    layout = pipe.placement
    assert (layout.title, layout.device, layout.size) == ("resident", None, 4 * 80 + 88)
    assert layout["coder"].where == "cpu"
    lines = str(layout).splitlines()
    assert lines[0] == "RelayPipeline: resident on cpu, 408 B in total"
    assert [line.split()[0] for line in lines[1:]] == list(pipe._networks())
    pipe.enable_model_cpu_offload(device="cpu")
    lines = str(pipe.placement).splitlines()
    assert lines[0] == "RelayPipeline: model offload on cpu, 408 B in total"
    assert "while used" in lines[1]
    assert "stays" in lines[-1]
    pipe.enable_sequential_cpu_offload(device="cpu")
    assert pipe.placement.size == 408, "weights count also where they are not in the network"


def test_it_explains_itself(pipe: RelayPipeline) -> None:
    assert pipe.explain().splitlines() == [
        "RelayPipeline: resident on cpu, 408 B in total",
        "default placement",
        explanation(pipe.device),
    ]
    pipe.enable_sequential_cpu_offload(device="cpu")
    assert pipe.explain().splitlines()[1] == "by enable_sequential_cpu_offload()"
    pipe.fit_memory("1GB", device="cpu")
    assert "memory='1GB' on cpu allows 1 GB" in pipe.explain()
    pipe.to("cpu")
    assert "default placement" in pipe.explain(), "what was moved by hand is where it was moved to"


def test_without_an_accelerator_it_says_so(
    pipe: RelayPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autopipe.placement.devices.accelerator", lambda: None)
    for enable in (pipe.enable_model_cpu_offload, pipe.enable_sequential_cpu_offload):
        with pytest.raises(RuntimeError, match="torch finds none"):
            enable()
    assert pipe.placement.title == "resident"


def test_a_device_and_a_number_must_agree(pipe: RelayPipeline) -> None:
    with pytest.raises(ArgumentError, match="both have an index"):
        pipe.enable_model_cpu_offload(gpu_id=0, device="cuda:1")


@pytest.mark.parametrize(("free", "fits"), [(45, False), (46, True)])
def test_a_tenth_of_what_is_free_is_left_by_an_automatic_budget(
    free: int, fits: bool, pipe: RelayPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own 408 bytes count as free: nine tenths of 453 are 407, and of 454 are 408."""
    cpu = torch.device("cpu")
    monkeypatch.setattr("autopipe.placement.budget.free_memory", lambda: {cpu: free})
    pipe.fit_memory("auto", device="cpu", offload_folder=tmp_path)
    assert (pipe.placement.title == "resident") is fits
    assert f"allows {407 + fits} B" in pipe.explain()


def test_on_the_cpu_a_budget_leads_to_the_disk(
    pipe: RelayPipeline, tmp_path: Path, expected: torch.Tensor
) -> None:
    pipe.fit_memory(408, device="cpu")
    assert pipe.placement.title == "resident"
    pipe.fit_memory(407, device="cpu", offload_folder=tmp_path)
    assert set((pipe.hf_device_map or {}).values()) == {"disk"}
    assert torch.equal(pipe(), expected)
    pipe.fit_memory(device="cpu")
    assert pipe.placement.title == "resident"
    assert torch.equal(pipe(), expected)
    with pytest.raises(ArgumentError, match="memory='much'"):
        pipe.fit_memory("much")


class Cuttable(nn.Linear):
    """An autoencoder that can work in slices and tiles."""

    def __init__(self) -> None:
        super().__init__(4, 4)
        self.cut: list[str] = []

    decode = nn.Linear.forward

    def enable_slicing(self) -> None:
        self.cut.append("slices")

    def enable_tiling(self) -> None:
        self.cut.append("tiles")

    def disable_slicing(self) -> None:
        self.cut.append("no slices")

    def disable_tiling(self) -> None:
        self.cut.append("no tiles")

    def set_attention_slice(self, size: Any) -> None:
        self.cut.append(f"attention {size}")


@pytest.mark.parametrize("budget", ["1GB", 410])
def test_decoding_and_attention_are_cut_where_memory_is_short_and_else_not(
    budget: int | str, caplog: pytest.LogCaptureFixture
) -> None:
    coder = Cuttable()
    pipe = relay(coder=coder)
    pipe.fit_memory(10, device="cpu")
    assert coder.cut == ["slices", "tiles", "attention auto"]
    assert "memory=10 is too little: nothing fits" in caplog.text
    assert "memory=10 on cpu allows 10 B" in pipe.explain()
    assert "offload_folder" in pipe.explain()
    coder.cut.clear()
    caplog.clear()
    pipe.fit_memory(budget, device="cpu")
    assert coder.cut == ["no slices", "no tiles", "attention None"]
    assert not caplog.records


def test_attention_slicing_reaches_the_networks_that_have_it(pipe: RelayPipeline) -> None:
    coder = Cuttable()
    pipe = relay(coder=coder)
    pipe.enable_attention_slicing(2)
    pipe.disable_attention_slicing()
    assert coder.cut == ["attention 2", "attention None"]
