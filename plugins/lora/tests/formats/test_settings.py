"""The settings that peft writes beside its own files."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support import lora_files as written
from torch import nn

from autopipe.checkpoint.attachable import TensorFile, open_tensors
from autopipe.errors import ConfigError
from autopipe_lora.formats import metadata_of, read_lora

PATH = "down_blocks.0.attentions.0.proj_in"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return written.networks()["unet"]


@pytest.fixture
def folder(network: nn.Module, tmp_path: Path) -> Path:
    of = written.changes({"unet": network})
    tensors = written.peft(of, lambda _, path: f"base_model.model.{path}")
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    return tmp_path


def scale(file: TensorFile, network: nn.Module) -> float:
    layers = read_lora(file.tensors, metadata_of(file), {"unet": network}).layers
    return layers["unet"][PATH].scale


def test_settings_beside_the_file(folder: Path, network: nn.Module) -> None:
    settings = {"r": 2, "lora_alpha": 6, "alpha_pattern": {}, "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert scale(open_tensors(folder), network) == 3.0
    tensors = open_tensors(folder).tensors
    assert scale(open_tensors(tensors), network) == 1.0  # A state dict has nothing beside it.


def test_settings_that_are_not_there(
    folder: Path, network: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert scale(open_tensors(folder), network) == 1.0
    assert "adapter_config.json" in caplog.text


def test_settings_in_the_header_come_first(folder: Path, network: nn.Module) -> None:
    (folder / "adapter_config.json").write_text('{"lora_alpha": 6}', encoding="utf-8")
    tensors = open_tensors(folder).tensors
    settings = {"lora_adapter_metadata": json.dumps({"lora_alpha": 4})}
    save_file({k: t.clone() for k, t in tensors.items()}, folder / "b.safetensors", settings)
    assert scale(open_tensors(folder, weight_name="b.safetensors"), network) == 2.0


def test_files_of_other_programs_take_nothing_from_beside(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("[", encoding="utf-8")
    save_file({"lora_unet_x.alpha": torch.ones(1)}, tmp_path / "a.safetensors", {"a": "b"})
    assert metadata_of(open_tensors(tmp_path)) == {"a": "b"}


@pytest.mark.parametrize("text", ["[", "[1]", ""])
def test_settings_that_can_not_be_read(folder: Path, text: Any) -> None:
    (folder / "adapter_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"adapter_config\.json"):
        metadata_of(open_tensors(folder))
