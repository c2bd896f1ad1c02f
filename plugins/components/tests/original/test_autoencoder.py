"""Files that hold an autoencoder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.single_files import assert_same_tensors
from support.tiny import seeded

from autopipe import AutoencoderKL
from autopipe.errors import UnsupportedCheckpointError, WeightsMismatchError
from autopipe_components.original.pieces import vae_joined

VAE: dict[str, Any] = {
    "block_out_channels": (32, 64, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
}


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return seeded(lambda: AutoencoderKL(**VAE))


def written(vae: AutoencoderKL, file: Path, prefix: str = "") -> Path:
    """The file of the authors, whose attention may be convolutions, with what is for training."""
    state = vae.state_dict()
    plan = vae_joined("vae", state, vae.config, prefix)
    tensors = {
        name: state[one.names[0]].reshape(*state[one.names[0]].shape, *([1, 1] * one.kernel))
        for name, one in plan.items()
    }
    save_file({**tensors, "loss.logvar": torch.zeros(1)}, file)
    return file


@pytest.mark.parametrize("prefix", ["", "first_stage_model."])
def test_the_config_follows_from_the_shapes(
    prefix: str, vae: AutoencoderKL, tmp_path: Path
) -> None:
    file = written(vae, tmp_path / "x.safetensors", prefix)
    loaded = AutoencoderKL.from_single_file(file)
    assert_same_tensors(loaded, vae)
    assert loaded.config.scaling_factor == 0.18215
    other = AutoencoderKL.from_single_file(file, scaling_factor=0.13025)
    assert other.config.scaling_factor == 0.13025


def test_names_as_they_are_here(vae: AutoencoderKL, tmp_path: Path) -> None:
    vae.save_pretrained(tmp_path)
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    assert_same_tensors(AutoencoderKL.from_single_file(file), vae)
    assert_same_tensors(AutoencoderKL.from_single_file(vae.state_dict()), vae)


def test_pickles(vae: AutoencoderKL, tmp_path: Path) -> None:
    state = torch.load(_pickled(vae, tmp_path), weights_only=True)
    assert "state_dict" in state
    assert_same_tensors(AutoencoderKL.from_single_file(tmp_path / "x.ckpt"), vae)
    half = AutoencoderKL.from_single_file(tmp_path / "x.ckpt", torch_dtype=torch.float16)
    assert half.dtype is torch.float16


def _pickled(vae: AutoencoderKL, folder: Path) -> Path:
    from safetensors.torch import load_file

    state = load_file(written(vae, folder / "x.safetensors"))
    torch.save({"epoch": 3, "state_dict": {"state_dict": state}}, folder / "x.ckpt")
    return folder / "x.ckpt"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn])
def test_stored_dtypes_are_cast(dtype: torch.dtype, vae: AutoencoderKL, tmp_path: Path) -> None:
    state = {name: tensor.to(dtype) for name, tensor in vae.state_dict().items()}
    save_file(state, tmp_path / "x.safetensors")
    loaded = AutoencoderKL.from_single_file(tmp_path / "x.safetensors")
    assert loaded.dtype is torch.float32
    assert all(torch.equal(t, state[n].float()) for n, t in loaded.state_dict().items())


def test_float8_needs_a_dtype_to_compute_with(vae: AutoencoderKL, tmp_path: Path) -> None:
    state = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in vae.state_dict().items()}
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(WeightsMismatchError, match=r"torch_dtype=torch\.float16"):
        AutoencoderKL.from_single_file(tmp_path / "x.safetensors", torch_dtype="auto")


def test_latents_of_other_channels_need_a_config(tmp_path: Path) -> None:
    vae = AutoencoderKL(**VAE, latent_channels=16)
    file = written(vae, tmp_path / "x.safetensors")
    with pytest.raises(WeightsMismatchError, match=r"16 channels of latents.*pass config="):
        AutoencoderKL.from_single_file(file)
    vae.save_pretrained(tmp_path / "vae")
    assert_same_tensors(AutoencoderKL.from_single_file(file, config=tmp_path / "vae"), vae)


def test_a_file_of_nothing_known(tmp_path: Path) -> None:
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors")
    with pytest.raises(UnsupportedCheckpointError, match="no installed plugin knows its layout"):
        AutoencoderKL.from_single_file(tmp_path / "x.safetensors")
