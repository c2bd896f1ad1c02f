"""A component of several networks, which are folders side by side in a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autopipe.manifest import Component, Family, Pipeline
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.resolution.targets import target_of

from .conftest import FAMILY, TinyNet, TinyScheduler


class Nets(nn.Module):
    """As little as a component of several networks has to have."""

    part_class = TinyNet

    def __init__(self, parts: list[TinyNet]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    @staticmethod
    def part_name(name: str, number: int) -> str:
        return f"{name}_{number}" if number else name


class NetsPipeline(DiffusionPipeline):
    def __init__(self, nets: Nets, scheduler: TinyScheduler) -> None:
        self.register_modules(nets=nets, scheduler=scheduler)


NETS = Family(
    "nets",
    pipelines=(Pipeline("NetsPipeline", target_of(NetsPipeline)),),
    components=(Component("Nets", target_of(Nets)),),
)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of a pipeline with two networks."""
    made = Registry([Installed(Plugin(f.name, f.name, "1"), f) for f in (FAMILY, NETS)])
    monkeypatch.setattr("autopipe.registry._default", made)
    NetsPipeline(Nets([TinyNet(), TinyNet()]), TinyScheduler()).save_pretrained(tmp_path / "p")
    assert (tmp_path / "p" / "nets_1").is_dir()
    return tmp_path / "p"


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ({"nets": "bfloat16"}, ["bfloat16", "bfloat16"]),
        ({"nets": "bfloat16", "default": "float16"}, ["bfloat16", "bfloat16"]),
        ({"nets": "bfloat16", "nets_1": "float16"}, ["bfloat16", "float16"]),
        ({"nets_1": "float16"}, ["float32", "float16"]),
    ],
)
def test_a_dtype_for_the_component_is_for_every_network(
    folder: Path, dtypes: dict[str, str], expected: list[str]
) -> None:
    pipe: Any = NetsPipeline.from_pretrained(folder, torch_dtype=dtypes)
    assert [part.seed.dtype for part in pipe.nets.parts] == [
        getattr(torch, name) for name in expected
    ]


def test_a_folder_of_a_network_that_is_gone_goes_too(folder: Path) -> None:
    pipe: Any = NetsPipeline.from_pretrained(folder)
    NetsPipeline(Nets([pipe.nets.parts[0]]), pipe.scheduler).save_pretrained(folder)
    assert not (folder / "nets_1").exists()
    assert len(NetsPipeline.from_pretrained(folder).nets.parts) == 1


def test_what_is_not_the_checkpoints_stays_and_is_no_network(folder: Path) -> None:
    pipe: Any = NetsPipeline.from_pretrained(folder)
    pipe.save_pretrained(folder, variant="fp16", max_shard_size=60)
    (folder / "nets_1" / "README.md").write_text("mine")
    (folder / "nets_2").mkdir()
    NetsPipeline(Nets([pipe.nets.parts[0]]), pipe.scheduler).save_pretrained(folder)
    assert [p.name for p in (folder / "nets_1").iterdir()] == ["README.md"]
    assert (folder / "nets_2").is_dir()
    assert len(NetsPipeline.from_pretrained(folder).nets.parts) == 1
