"""`OnnxRuntimeModel` runs, loads and saves a network of the onnx layout."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from autopipe import OnnxRuntimeModel
from autopipe.errors import CheckpointError


@pytest.fixture
def decoder(saved: Any) -> OnnxRuntimeModel:
    return OnnxRuntimeModel.from_pretrained(saved("") / "vae_decoder")


def test_it_takes_arrays_by_name_and_returns_a_list(decoder: OnnxRuntimeModel) -> None:
    (picture,) = decoder(latent_sample=np.zeros((1, 4, 8, 8), np.float32))
    assert picture.shape == (1, 3, 64, 64)
    assert picture.dtype == np.float32


def test_tensors_are_cast_to_the_types_of_the_network(decoder: OnnxRuntimeModel) -> None:
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    (found,) = decoder.run(latent_sample=latents.double())
    assert torch.equal(found, decoder.run(latent_sample=latents)[0])
    assert decoder.dtype == torch.float32


def test_sizes_are_those_of_the_file(decoder: OnnxRuntimeModel) -> None:
    assert decoder.size_of("latent_sample", 1) == 4
    assert decoder.size_of("latent_sample", 2) is None
    assert decoder.size_of("other", 1) is None


def test_the_settings_of_the_session_are_the_callers(saved: Any) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    found = OnnxRuntimeModel.from_pretrained(
        saved("") / "unet", provider="CPUExecutionProvider", sess_options=options
    )
    assert found.model.get_session_options().intra_op_num_threads == 2


def test_by_default_it_has_as_many_threads_as_torch(decoder: OnnxRuntimeModel) -> None:
    threads = decoder.model.get_session_options().intra_op_num_threads
    assert threads == torch.get_num_threads()


def test_saving_copies_the_weights_too(decoder: OnnxRuntimeModel, tmp_path: Path) -> None:
    decoder.save_pretrained(tmp_path, file_name="other.onnx")
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "config.json",
        "other.onnx",
        "weights.pb",
    ]
    again = OnnxRuntimeModel.from_pretrained(tmp_path, file_name="other.onnx")
    latents = np.ones((1, 4, 8, 8), np.float32)
    assert np.array_equal(again(latent_sample=latents)[0], decoder(latent_sample=latents)[0])


def test_one_made_from_a_session_cannot_be_saved(decoder: OnnxRuntimeModel, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="made from a session"):
        OnnxRuntimeModel(decoder.model).save_pretrained(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        OnnxRuntimeModel.from_pretrained(tmp_path)


def test_a_copy_shares_the_session_and_a_pickle_opens_the_file_again(
    decoder: OnnxRuntimeModel,
) -> None:
    assert copy.deepcopy(decoder) is decoder
    again = pickle.loads(pickle.dumps(decoder))
    latents = np.ones((1, 4, 8, 8), np.float32)
    assert np.array_equal(again(latent_sample=latents)[0], decoder(latent_sample=latents)[0])
