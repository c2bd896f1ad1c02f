"""Where the parts of one network go. The machine has no accelerator; `meta` stands for one."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, PlacementError
from autopipe.placement.base import at_rest, placed_by
from autopipe.placement.parts import PartMap, parse_parts, place_parts

CPU = torch.device("cpu")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(4, 4)
        self.other = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.other(self.one(x))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.first = nn.Linear(4, 4)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.last = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) * self.scale
        for block in self.blocks:
            x = block(x)
        return self.last(x)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


MAPS: dict[str, dict[str, Any]] = {
    "whole": {"": "disk"},
    "one block": {"": "cpu", "blocks.1": "disk"},
    "inside a block": {"": "cpu", "blocks.0.one": "disk"},
    "all but one": {"": "disk", "first": "cpu"},
    "every part": {"scale": "cpu", "first": "disk", "blocks": "cpu", "last": "disk"},
    "single tensors": {"": "cpu", "last.weight": "disk", "last.bias": "disk"},
}


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("named", [True, False])
def test_it_computes_the_same_from_everywhere(
    net: Net, name: str, named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    x = torch.randn(2, 4)
    expected = net(x)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    folder = tmp_path / ("named" if named else "temporary")
    place_parts(net, parse_parts(MAPS[name]), offload_folder=folder if named else None)
    assert net.hf_device_map == MAPS[name]
    assert any(parameter.is_meta for parameter in net.parameters())
    assert list(folder.rglob("weights.pt"))
    for _ in range(2):
        assert torch.equal(net(x), expected)
    with at_rest(net):
        assert all(torch.equal(net.state_dict()[name], one) for name, one in state.items())
    assert torch.equal(net(x), expected)
    del net
    gc.collect()


def test_the_folder_goes_with_the_network(tmp_path: Path) -> None:
    net = Net()
    place_parts(net, parse_parts({"": "disk"}), offload_folder=tmp_path)
    assert list(tmp_path.iterdir())
    del net
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_one_device_for_all_is_a_move(net: Net) -> None:
    place_parts(net, parse_parts({"first": "cpu", "": "cpu"}))
    assert placed_by(net) is None
    place_parts(net, parse_parts("meta"))
    assert net.first.weight.is_meta
    assert net.hf_device_map == {"": "meta"}


@pytest.mark.parametrize("strategy", ["auto", "balanced", "balanced_low_0", "sequential"])
def test_a_strategy_fills_what_there_is_and_then_the_disk(
    net: Net, strategy: str, tmp_path: Path
) -> None:
    x = torch.randn(2, 4)
    expected = net(x)
    place_parts(net, strategy)
    assert net.hf_device_map == {"": "cpu"}
    place_parts(net, strategy, max_memory={"cpu": 300}, offload_folder=tmp_path)
    assert set(net.hf_device_map.values()) == {"cpu", "disk"}
    assert not any(name.startswith("blocks.0.") for name in net.hf_device_map), "a block is whole"
    assert torch.equal(net(x), expected)


def test_a_network_on_parts_is_not_moved_with_its_pipeline(net: Net, tmp_path: Path) -> None:
    place_parts(net, parse_parts({"": "disk"}), offload_folder=tmp_path)
    found = placed_by(net)
    assert found is not None
    assert isinstance(found[0], PartMap)
    with pytest.raises(PlacementError, match="load it without one"):
        found[0].check_move(CPU)
    assert found[0].where(net, found[1]) == "by parts, on disk"


@pytest.mark.parametrize(
    ("device_map", "message"),
    [
        ({}, "empty"),
        ({"": "nowhere"}, "is not a device"),
        ({"": 1.5}, "device_map=1.5"),
        ({"": None}, "device_map=None"),
        ({"first": "cpu"}, "no device for"),
        ({"": "cpu", "frist": "cpu"}, "Did you mean 'first'"),
        ({"": "cpu", "a\ud83d": "cpu"}, "has no"),
        (7, "accelerator"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(net: Net, device_map: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        place_parts(net, parse_parts(device_map))


def test_a_device_that_is_not_here_and_a_folder_that_is_none_are_refused(net: Net) -> None:
    with pytest.raises(PlacementError, match="is not available"):
        parse_parts({"": "cuda:9"})
    with pytest.raises(PlacementError, match="offload_folder"):
        place_parts(net, parse_parts({"": "disk"}), offload_folder=__file__)
    for wrong in ("x", {"cpu": "x"}):
        with pytest.raises(ArgumentError, match="max_memory"):
            place_parts(net, "auto", max_memory=wrong)  # type: ignore[arg-type]
