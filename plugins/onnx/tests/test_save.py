"""`save_onnx` writes the onnx layout, with standard operators and for every size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from support import tiny

import autopipe
from autopipe import AutoencoderKL, OnnxRuntimeModel, save_onnx
from autopipe.errors import ArgumentError, ArgumentTypeError, ConfigError

from .conftest import TASKS

NETWORKS = ("text_encoder", "unet", "vae_decoder", "vae_encoder")


@pytest.mark.parametrize("task", TASKS)
def test_the_index_is_that_of_the_layout(saved: Any, task: str) -> None:
    index = json.loads((saved(task) / "model_index.json").read_text(encoding="utf-8"))
    assert index["_class_name"] == f"Onnx{TASKS[task]}"
    assert {n for n, pair in index.items() if pair == ["diffusers", "OnnxRuntimeModel"]} == {
        *NETWORKS
    }
    assert index["safety_checker"] == index["feature_extractor"] == [None, None]


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_is_a_valid_model_of_standard_operators(saved: Any, name: str) -> None:
    file = saved("") / name / "model.onnx"
    onnx.checker.check_model(str(file), full_check=True)
    model = onnx.load_model(file, load_external_data=False)
    assert {node.domain for node in model.graph.node} == {""}
    assert {one.data_location for one in model.graph.initializer} == {onnx.TensorProto.EXTERNAL}


def test_a_network_takes_every_size_and_batch(saved: Any, components: Any) -> None:
    unet = OnnxRuntimeModel.from_pretrained(saved("") / "unet")
    for batch, height, width, tokens in ((1, 8, 8, 12), (3, 6, 10, 5), (2, 7, 5, 12)):
        generator = torch.Generator().manual_seed(batch)
        sample = torch.randn(batch, 4, height, width, generator=generator)
        context = torch.randn(batch, tokens, 16, generator=generator)
        steps = torch.tensor([500])
        (found,) = unet.run(sample=sample, timestep=steps, encoder_hidden_states=context)
        with torch.no_grad():
            expected = components["unet"](sample, steps, context).sample
        assert torch.allclose(found, expected, atol=1e-5), "float32 rounds in another order"


def test_the_networks_are_not_changed(saved: Any, components: Any) -> None:
    saved("")
    for name in ("unet", "vae", "text_encoder"):
        parameters = list(components[name].parameters())
        assert parameters
        assert all(isinstance(one, torch.nn.Parameter) for one in parameters)
        assert not any(one.is_meta for one in parameters)


def test_another_pipeline_is_refused(load: Any, tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match="not OnnxStableDiffusionPipeline"):
        save_onnx(load(), tmp_path)


def test_the_config_beside_a_network_tells_what_others_assume(
    build: Any, inputs: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vae = tiny.seeded(lambda: AutoencoderKL(**{**tiny.VAE, "scaling_factor": 0.5}))
    pipe, call = build(vae=vae), {**inputs[""], "height": 16, "width": 24}
    save_onnx(pipe, tmp_path)
    assert "scaling factor 0.5 and 2 pixels per cell" in caplog.text
    found = autopipe.DiffusionPipeline.from_pretrained(tmp_path)
    assert found.default_size() == pipe.default_size() == (16, 16)
    noise = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(0))
    expected = pipe(**call, latents=noise).images
    assert expected.shape == (1, 16, 24, 3)
    # Two runtimes round differently.
    assert np.abs(found(**call, latents=noise).images - expected).max() < 1e-4


@pytest.mark.parametrize("entry", [{"scaling_factor": -1}, {"block_out_channels": [1] * 99}])
def test_a_config_with_absurd_entries_is_refused(
    saved: Any, inputs: Any, tmp_path: Path, entry: dict[str, Any]
) -> None:
    folder = shutil.copytree(saved(""), tmp_path / "checkpoint")
    (folder / "vae_decoder/config.json").write_text(json.dumps(entry), encoding="utf-8")
    pipe = autopipe.DiffusionPipeline.from_pretrained(folder)
    with pytest.raises(ConfigError, match=f"{next(iter(entry))!r} in the config"):
        pipe(**inputs[""])


def test_half_precision_is_refused(build: Any, components: Any, tmp_path: Path) -> None:
    unet = autopipe.UNet2DConditionModel.from_config(components["unet"].config).half()
    with pytest.raises(ArgumentError, match=r"of the unet is torch\.float16"):
        save_onnx(build(unet=unet), tmp_path)


def test_a_missing_component_is_named(build: Any, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="has a vae, and this pipeline has none"):
        save_onnx(build(vae=None), tmp_path)
