"""What is told of a file without the networks that it is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support import lora_files as written

from autopipe.cli import main
from autopipe_lora.formats import summarise


def test_layers_ranks_and_kinds() -> None:
    of = written.changes(written.networks_xl(), rank=lambda p: 3 if "attn1" in p else 2)
    tensors = written.scripts(of, xl=True)
    tensors["lora_unet_x.hada_w1_b"] = torch.ones(7, 2)
    tensors["lora_unet_x.dora_scale"] = torch.ones(7)
    tensors["lora_unet_y.diff"] = torch.ones(7, dtype=torch.float16)
    tensors["lora_controlnet_z.lora_up.weight"] = torch.ones(1)
    tensors["hello"] = torch.ones(1)
    found = summarise(tensors, {})
    assert found.format == "LoHa, sd-scripts, weight differences"
    counts = {component: len(layers) for component, layers in of.items()}
    assert found.layers == {**counts, "unet": counts["unet"] + 2, "": 1}
    ranks = [len(c.down) for layers in of.values() for c in layers.values()]
    assert found.ranks == {2: ranks.count(2), 3: ranks.count(3), 7: 1, None: 2}
    assert found.magnitudes == 1
    assert found.dtypes == ("float16", "float32")
    sizes = [c.down.numel() + c.up.numel() for layers in of.values() for c in layers.values()]
    assert found.parameters == sum(sizes) + 14 + 7 + 7 + 1
    assert list(found.skipped) == ["hello"]


@pytest.mark.parametrize("write", [written.peft, written.late_2023, written.scripts])
def test_components_of_every_format(write: Any) -> None:
    of = written.changes(written.networks())
    assert summarise(write(of), {}).layers == {name: len(layers) for name, layers in of.items()}


def test_the_metadata() -> None:
    tags = {"1_a": {"ink ": 3, "cat": 1}, "2_b": {"ink": 4, "bad": "x", "worse": -1}, "c": 5}
    metadata = {
        "modelspec.title": "",
        "ss_output_name": "Ink",
        "ss_base_model_version": "None",
        "ss_sd_model_name": "model.safetensors",
        "modelspec.trigger_phrase": "in ink",
        "ss_tag_frequency": json.dumps(tags),
    }
    found = summarise({}, metadata)
    assert (found.title, found.base_model, found.trigger) == ("Ink", "model.safetensors", "in ink")
    assert list(found.tags.items()) == [("ink", 7), ("cat", 1)]


@pytest.mark.parametrize("text", ["[", "[1]", "[" * 10**6, '{"a": [1]}', "\ud800", 3, "null"])
def test_unreadable_tags(text: Any) -> None:
    assert summarise({}, {"ss_tag_frequency": text}).tags == {}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ink.safetensors"
    tensors = written.scripts(written.changes(written.networks(), alpha=lambda p: 1.0))
    metadata = {
        "ss_output_name": "Ink\x1b[2J",
        "ss_tag_frequency": json.dumps({"a": {"cat\x1b": 2, "dog": 1}}),
    }
    save_file({**tensors, "hello": torch.ones(1)}, path, metadata)
    return path


def test_the_command(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lora", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    rows = [line.split(maxsplit=1) for line in printed.splitlines() if line]
    for row in (["format", "sd-scripts"], ["ranks", "2"], ["text_encoder", "12"]):
        assert row in rows
    assert ["frequent", "tags  cat\\x1b (2), dog (1)"] in rows
    assert "its name is unknown" in printed


def test_the_command_prints_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lora", str(file.parent), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["layers"]["text_encoder"] == 12
    assert found["ranks"] == {"2": sum(found["layers"].values())}
    assert found["tags"] == {"cat\x1b": 2, "dog": 1}


def test_the_command_refuses_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file({"x.oft_blocks": torch.ones(2)}, tmp_path / "oft.safetensors")
    assert main(["lora", str(tmp_path)]) == 2
    assert "OFT" in capsys.readouterr().err
