"""Several networks in the place of one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentError, CheckpointError
from autopipe.modeling import ModelMixin
from autopipe_components.several import SeveralModels


class Net(ModelMixin):
    @register_to_config
    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)


class Nets(SeveralModels):
    part_class = Net


def test_they_are_saved_side_by_side_and_come_back(tmp_path: Path) -> None:
    nets = Nets([Net(), Net(3), Net()])
    nets.save_pretrained(tmp_path / "net")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net", "net_1", "net_2"]
    back = Nets.from_pretrained(tmp_path / "net", torch_dtype=torch.float16)
    assert [part.config.width for part in back.parts] == [2, 3, 2]
    assert back.dtype == torch.float16
    assert back.device == torch.device("cpu")
    expected = nets.half().state_dict()
    assert all(torch.equal(one, expected[name]) for name, one in back.state_dict().items())


def test_there_is_at_least_one_and_all_are_of_one_class(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="one or more networks of class Net, and got none"):
        Nets([])
    with pytest.raises(ArgumentError, match="Linear"):
        Nets([Net(), nn.Linear(1, 1)])  # type: ignore[list-item]
    with pytest.raises(CheckpointError):
        Nets.from_pretrained(tmp_path / "absent")


def test_arguments_of_saving_are_for_every_network(tmp_path: Path) -> None:
    Nets([Net(), Net()]).save_pretrained(tmp_path / "nets", True, None, False, "v")
    for name in ("nets", "nets_1"):
        assert (tmp_path / name / "diffusion_pytorch_model.v.bin").is_file()
