"""Files that are not what their names say, and folders of something else."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel

from autopipe.checkpoint.formats.kinds import misnamed
from autopipe.errors import AutopipeError, CheckpointError, DamagedFileError, WeightsMismatchError
from autopipe.pipeline.base import DiffusionPipeline

from ..conftest import TinyNet, TinyPipeline, same

NAME = "diffusion_pytorch_model"
SAFE = f"{NAME}.safetensors"


def load(folder: Path) -> Any:
    return TinyNet.from_pretrained(folder)


def taken(file: Path) -> dict[str, Tensor]:
    """The tensors of a file, which is gone then: what is mapped must not be written."""
    state = {name: tensor.clone() for name, tensor in load_file(file).items()}
    file.unlink()
    return state


# Names


def test_safetensors_called_bin_are_named_and_renaming_helps(net_folder: Path) -> None:
    (net_folder / SAFE).rename(net_folder / f"{NAME}.bin")
    with pytest.raises(DamagedFileError, match=f"is a safetensors file .* rename it to {SAFE}"):
        load(net_folder)
    (net_folder / f"{NAME}.bin").rename(net_folder / SAFE)
    assert load(net_folder)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_called_safetensors_is_named_and_renaming_helps(
    net_folder: Path, zipped: bool
) -> None:
    state = taken(net_folder / SAFE)
    torch.save(state, net_folder / SAFE, _use_new_zipfile_serialization=zipped)
    with pytest.raises(DamagedFileError, match=rf"is a PyTorch pickle .* rename it to {NAME}\.bin"):
        load(net_folder)
    (net_folder / SAFE).rename(net_folder / f"{NAME}.bin")
    assert same(load(net_folder).state_dict(), state)


def test_that_of_a_text_encoder_gets_the_name_of_transformers(saved: Path) -> None:
    folder = saved / "text_encoder"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DamagedFileError, match=r"rename it to model\.safetensors"):
        TinyPipeline.from_pretrained(saved)
    (folder / "pytorch_model.bin").rename(folder / "model.safetensors")
    assert isinstance(TinyPipeline.from_pretrained(saved).text_encoder, CLIPTextModel)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"GGUF\3\0\0\0" + bytes(60), "GGUF"),
        (b"\x89HDF\r\n\x1a\n" + bytes(60), "HDF5"),
        (gzip.compress(b"x" * 90), "compressed archive"),
        (b"<!DOCTYPE html><title>Sign in</title>" + bytes(60), "web page"),
        (b"\n  <html lang='en'>" + bytes(60), "web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(60), "an image"),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_a_file_of_another_kind_is_named(
    net_folder: Path, start: bytes, words: str, suffix: str
) -> None:
    (net_folder / SAFE).unlink()
    (net_folder / f"{NAME}{suffix}").write_bytes(start)
    with pytest.raises(DamagedFileError, match=f"{NAME}.*{words}"):
        load(net_folder)


def test_every_length_of_a_header_is_that_of_safetensors(net_folder: Path) -> None:
    for length in (0x0280, 0x0580, 0x0480, 0x4B50, 0x8B1F):
        start = length.to_bytes(8, "little") + b'{"a":{"dt'
        assert not misnamed(SAFE, start)
        assert misnamed(f"{NAME}.bin", start)


# Folders


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pytorch_lora_weights.safetensors", "an adapter"),
        ("pytorch_lora_weights.bin", "an adapter"),
        ("adapter_model.safetensors", "an adapter"),
        ("flux1-dev-Q4_0.gguf", "GGUF"),
        ("model.onnx", "ONNX"),
        ("diffusion_flax_model.msgpack", "Flax"),
        ("tf_model.h5", "TensorFlow"),
        ("openvino_model.xml", "OpenVINO"),
        ("v1-5-pruned.safetensors", "single-file checkpoint"),
        ("v1-5-pruned-emaonly.ckpt", "single-file checkpoint"),
    ],
)
def test_what_lies_there_instead_of_weights_is_named(
    net_folder: Path, tmp_path: Path, name: str, words: str
) -> None:
    (net_folder / SAFE).rename(net_folder / name)
    with pytest.raises(CheckpointError, match=f"{name} .*{words}"):
        load(net_folder)
    (tmp_path / "alone").mkdir()
    shutil.copy(net_folder / name, tmp_path / "alone")
    with pytest.raises(CheckpointError, match=f"{name} .*{words}"):
        DiffusionPipeline.from_pretrained(tmp_path / "alone")


def test_a_folder_of_nothing_known_says_what_was_looked_for(net_folder: Path) -> None:
    (net_folder / SAFE).rename(net_folder / "notes.txt")
    with pytest.raises(CheckpointError, match=f"looked for {SAFE}"):
        load(net_folder)


# Names of tensors


def wrapped(name: str, how: str) -> str:
    owner, _, attribute = name.rpartition(".")
    inside = f"{owner}._orig_mod.{attribute}" if owner else name
    return {"inside": inside, "both": f"module._orig_mod.{name}"}.get(how, f"{how}.{name}")


@pytest.mark.parametrize("how", ["module", "_orig_mod", "both", "inside", "_fsdp_wrapped_module"])
@pytest.mark.parametrize("safe", [True, False])
def test_what_wrappers_put_into_names_is_left_out_and_said(
    net_folder: Path, how: str, safe: bool, caplog: pytest.LogCaptureFixture
) -> None:
    plain = load(net_folder).state_dict()
    state = {wrapped(name, how): tensor for name, tensor in taken(net_folder / SAFE).items()}
    if safe:
        save_file(state, net_folder / SAFE)
    else:
        torch.save(state, net_folder / f"{NAME}.bin")
    with caplog.at_level(logging.WARNING):
        loaded = load(net_folder)
    assert same(loaded.state_dict(), plain)
    assert "was saved from a wrapper" in caplog.text


def test_the_text_encoder_of_a_wrapper_loads(saved: Path) -> None:
    file = saved / "text_encoder/model.safetensors"
    plain = TinyPipeline.from_pretrained(saved).text_encoder.state_dict()
    save_file({f"module.{name}": tensor for name, tensor in taken(file).items()}, file)
    assert same(TinyPipeline.from_pretrained(saved).text_encoder.state_dict(), plain)


class Named(TinyNet):
    """A network that calls a part of itself as wrappers do."""

    def __init__(self, width: int = 4) -> None:
        super().__init__(width)
        self.module = nn.Linear(width, width)


def test_a_part_that_is_called_so_keeps_its_name(tmp_path: Path) -> None:
    net = Named()
    net.save_pretrained(tmp_path / "net")
    assert same(Named.from_pretrained(tmp_path / "net").state_dict(), net.state_dict())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.diffusion_model.input_blocks.0.0.weight", "single-file checkpoint"),
        ("first_stage_model.encoder.conv_in.weight", "single-file checkpoint"),
        ("unet.mid.to_q.lora_A.weight", "adapter"),
        ("lora_unet_mid_block.lora_down.weight", "adapter"),
        ("layers.0.weight.absmax", "quantized"),
    ],
)
def test_tensors_of_something_else_are_named(net_folder: Path, name: str, words: str) -> None:
    save_file({name: torch.zeros(4)}, net_folder / SAFE)
    with pytest.raises(WeightsMismatchError, match=words):
        load(net_folder)


def test_a_name_of_any_length_is_cut(net_folder: Path, edit: Callable[..., None]) -> None:
    save_file({f"module.{'x' * 10**5}\x1b": torch.zeros(4)}, net_folder / SAFE)
    with pytest.raises(AutopipeError) as caught:
        load(net_folder)
    assert len(str(caught.value)) < 1000
    assert json.dumps(str(caught.value)).count("u001b") == 0
