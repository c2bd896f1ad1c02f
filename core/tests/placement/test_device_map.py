"""Planning where each network goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe.errors import ArgumentError, PlacementError
from autopipe.placement.device_map import DeviceMap, plan, spread

GPU = [torch.device("cuda", i) for i in range(3)]
CPU = torch.device("cpu")
SIZES = {"text": 30, "unet": 70, "vae": 20}


def test_balanced_gives_the_largest_the_most_room() -> None:
    assert spread(SIZES, {GPU[0]: 100, GPU[1]: 90}, evenly=True) == {
        "unet": GPU[0], "text": GPU[1], "vae": GPU[1],
    }  # fmt: skip
    assert spread(SIZES, {GPU[0]: 40}, evenly=True) == {"text": GPU[0]}
    assert spread(SIZES, {}, evenly=True) == {}


def test_auto_fills_one_device_after_another() -> None:
    assert spread(SIZES, {GPU[0]: 100, GPU[1]: 90}) == {
        "unet": GPU[0], "text": GPU[0], "vae": GPU[1],
    }  # fmt: skip
    assert spread(SIZES, {GPU[0]: 200}) == dict.fromkeys(("unet", "text", "vae"), GPU[0])


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two accelerators, as far as planning can see."""
    monkeypatch.setattr(
        "autopipe.placement.devices.free_memory", lambda: {GPU[0]: 100, GPU[1]: 50, CPU: 1000}
    )
    monkeypatch.setattr("autopipe.placement.devices.accelerator", lambda: torch.device("cuda"))


@pytest.mark.usefixtures("two_gpus")
def test_a_tenth_of_what_is_free_is_left_for_computing() -> None:
    found = plan("balanced", {"unet": 95, "vae": 40})
    assert found.device_map == {"unet": "cpu", "vae": 0}
    assert found.device == GPU[0]
    assert plan("balanced", {"unet": 90, "vae": 40}).device_map == {"unet": 0, "vae": 1}


@pytest.mark.usefixtures("two_gpus")
def test_max_memory_limits_each_device(tmp_path: Path) -> None:
    limits: dict[Any, Any] = {1: 80, "cpu": 35}
    assert plan("balanced", SIZES | {"vae": 5}, max_memory=limits).device_map == {
        "text": "cpu", "unet": 1, "vae": 1,
    }  # fmt: skip
    with pytest.raises(PlacementError, match="vae has 20 B and doesn't fit into max_memory"):
        plan("balanced", SIZES, max_memory=limits)
    spread = plan("auto", SIZES, max_memory=limits, offload_folder=tmp_path)
    assert spread.device_map == {"text": "cpu", "unet": 1, "vae": "disk"}
    assert spread.device == GPU[1]


@pytest.mark.usefixtures("two_gpus")
def test_a_dict_names_networks_and_what_is_for_the_others(tmp_path: Path) -> None:
    given: dict[str, Any] = {"unet": 1, "vae": "cuda:0", "": "cpu"}
    found = plan(given, SIZES)
    assert isinstance(found, DeviceMap)
    assert found.places == {"text": CPU, "unet": GPU[1], "vae": GPU[0]}
    assert found.device == GPU[1], "the main device is that of the largest network"
    assert plan({"": "disk"}, SIZES, offload_folder=tmp_path).device == GPU[0]
    assert plan({"": "cpu"}, SIZES).device == CPU


@pytest.mark.parametrize(
    ("device_map", "message"),
    [
        ({"unett": 0, "": "cpu"}, "Did you mean 'unet'"),
        ({"unet": "cpu"}, "no device for text, vae"),
        ({"": "nowhere"}, "is not a device"),
        ({"": "disk"}, "offload_folder"),
        ("everywhere", "is not a device"),
    ],
)
def test_what_is_no_device_map(device_map: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        plan(device_map, SIZES)


@pytest.mark.parametrize("limits", ["10GB", {"cpu": "much"}, {"nowhere": 1}])
def test_what_is_no_max_memory(limits: Any) -> None:
    with pytest.raises(ArgumentError, match="max_memory"):
        plan("auto", SIZES, max_memory=limits)


def test_one_device_is_a_move_and_no_map() -> None:
    found = plan("cpu", SIZES)
    assert (found.moves, found.device_map, str(found.device)) == (False, "cpu", "cpu")
