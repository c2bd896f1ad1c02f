"""Pipelines to place, and the ways of doing it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.relay import RelayPipeline, relay

Mode = Callable[[RelayPipeline], object]


@pytest.fixture
def modes(tmp_path: Path) -> dict[str, Mode]:
    """What places a pipeline in one way, by the names of `support.relay.MODES`."""
    disk = {"offload_folder": tmp_path / "offloaded"}
    return {
        "model": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
        "sequential": lambda pipe: pipe.enable_sequential_cpu_offload(device="cpu"),
        "disk": lambda pipe: pipe.set_device_map({"": "disk"}, **disk),
        "map": lambda pipe: pipe.set_device_map({"painter": "disk", "": "cpu"}, **disk),
        "balanced": lambda pipe: pipe.set_device_map("balanced"),
        "device": lambda pipe: pipe.set_device_map("cpu"),
        "resident": lambda pipe: pipe.remove_all_hooks(),
    }


@pytest.fixture
def pipe() -> RelayPipeline:
    return relay()


@pytest.fixture
def expected() -> torch.Tensor:
    """What a resident pipeline gives."""
    return relay()()
