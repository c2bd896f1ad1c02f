"""What is written is read again."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from support import lora_files as written
from torch import Tensor, nn

from autopipe.errors import ArgumentError
from autopipe_lora.formats import LoraFile, LoraLayer, read_lora, write_lora


@pytest.fixture(scope="module")
def networks() -> dict[str, nn.Module]:
    return written.networks_xl()


@pytest.fixture(scope="module")
def file(networks: dict[str, nn.Module]) -> LoraFile:
    """Layers with ranks, scales, magnitudes and biases that differ."""
    of = written.changes(
        networks,
        written.LINEAR + written.CONVOLUTIONS + written.ENDS,
        rank=lambda path: 3 if "conv" in path else 2,
        alpha=lambda path: 1.0 if "up_blocks" in path else 0.5,
    )
    layers = {
        c: dict(p) for c, p in read_lora(written.scripts(of, xl=True), {}, networks).layers.items()
    }
    for path in ("mid_block.attentions.0.proj_in", "conv_in"):
        layer = layers["unet"][path]
        rows = len(layer.up)
        ones = (1 for _ in layer.down.shape[1:])
        layers["unet"][path] = replace(
            layer, magnitude=torch.rand(rows, *ones), bias=torch.rand(rows)
        )
    return LoraFile(layers, read_lora(written.scripts(of, xl=True), {}, networks).report)


def assert_same(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for component, by_path in expected.items():
        assert found[component].keys() == by_path.keys()
        for path, layer in by_path.items():
            for each in fields(LoraLayer):
                ours, theirs = getattr(found[component][path], each.name), getattr(layer, each.name)
                if isinstance(theirs, Tensor):
                    torch.testing.assert_close(ours, theirs)
                else:
                    assert ours == (None if theirs is None else pytest.approx(theirs))


@pytest.mark.parametrize("format", ["peft", "kohya"])
def test_layers_come_back(networks: dict[str, nn.Module], file: LoraFile, format: Any) -> None:
    content = write_lora(file.layers, format=format)
    found = read_lora(content.tensors, content.metadata, networks)
    assert_same(found.layers, file.layers)
    assert found.report.unmatched == ()
    assert not found.report.skipped


def test_metadata_is_written_only_where_it_is_needed(
    networks: dict[str, nn.Module], file: LoraFile
) -> None:
    plain = {
        "unet": {path: replace(one, scale=1.0) for path, one in file.layers["unet"].items()},
        "text_encoder": file.layers["text_encoder"],
    }
    content = write_lora({"unet": plain["unet"]})
    assert content.metadata == {"format": "pt"}
    text = write_lora(plain).metadata["lora_adapter_metadata"]
    assert "text_encoder.lora_alpha" in text
    assert "unet." not in text


def test_given_settings_are_written(networks: dict[str, nn.Module], file: LoraFile) -> None:
    given = {"unet": {"r": 2, "lora_alpha": 6, "target_modules": {"to_q"}}}
    layers = {
        "unet": {
            "mid_block.attentions.0.proj_out": file.layers["unet"][
                "mid_block.attentions.0.proj_out"
            ]
        }
    }
    content = write_lora(layers, given)
    found = read_lora(content.tensors, content.metadata, networks)
    assert found.layers["unet"]["mid_block.attentions.0.proj_out"].scale == 3.0


def test_a_magnitude_of_inputs_is_written_as_kohya_only(
    networks: dict[str, nn.Module], file: LoraFile
) -> None:
    layer = file.layers["unet"]["mid_block.attentions.0.proj_in"]
    layer = replace(layer, magnitude=torch.rand(1, layer.down.shape[1]))
    layers = {"unet": {"mid_block.attentions.0.proj_in": layer}}
    content = write_lora(layers, format="kohya")
    assert_same(read_lora(content.tensors, content.metadata, networks).layers, layers)
    with pytest.raises(ArgumentError, match="can't express"):
        write_lora(layers)


def test_what_can_not_be_written(file: LoraFile) -> None:
    with pytest.raises(ArgumentError, match="no layer"):
        write_lora({"unet": {}})
    with pytest.raises(ArgumentError, match="'flat'"):
        write_lora(file.layers, format="flat")
    with pytest.raises(ArgumentError, match="no name for 'prior'"):
        write_lora({"prior": file.layers["unet"]}, format="kohya")
    with pytest.raises(ArgumentError, match="lora_adapter_metadata"):
        write_lora(file.layers, {"unet": {"r": 2}}, format="kohya")
