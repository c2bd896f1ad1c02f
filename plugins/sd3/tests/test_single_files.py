"""Single files in the layout of the authors: names, shapes and configs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.sparse import on_meta, sparse_file

from autopipe import SD3Transformer2DModel, StableDiffusion3Pipeline
from autopipe.errors import WeightsMismatchError

from .original import PREFIX, original

MEDIUM = {
    "num_layers": 24,
    "num_attention_heads": 24,
    "caption_projection_dim": 1536,
    "pos_embed_max_size": 384,
    "qk_norm": "rms_norm",
    "dual_attention_layers": list(range(13)),
}
"""What Stable Diffusion 3.5 medium has in place of the defaults."""


def test_a_transformer_alone_tells_its_config(tmp_path: Path) -> None:
    network: Any = on_meta(SD3Transformer2DModel, MEDIUM)
    states = original(network.state_dict(), network.config)
    shapes = {name: tuple(one.shape) for name, one in states.items()}
    assert shapes["joint_blocks.0.x_block.attn2.qkv.weight"] == (4608, 1536)
    assert shapes["joint_blocks.23.context_block.adaLN_modulation.1.weight"] == (3072, 1536)
    file = sparse_file(tmp_path / "x.safetensors", shapes)
    found = SD3Transformer2DModel.from_single_file(file, torch_dtype="auto")
    assert {name: found.config[name] for name in MEDIUM} == MEDIUM
    assert (found.config.in_channels, found.config.joint_attention_dim) == (16, 4096)
    assert found.dtype is torch.float16


def test_a_file_gives_transformer_and_autoencoder(
    build: Callable[..., Any], tmp_path: Path
) -> None:
    """What it lacks comes from the folder that the caller gives."""
    pipe = build(StableDiffusion3Pipeline)
    pipe.save_pretrained(tmp_path / "folder")
    state = original(pipe.transformer.state_dict(), pipe.transformer.config, PREFIX)
    file = tmp_path / "x.safetensors"
    save_file(state, file)
    config = tmp_path / "folder"
    found: Any = StableDiffusion3Pipeline.from_single_file(file, config=config)
    for name, tensor in pipe.transformer.state_dict().items():
        assert torch.equal(found.transformer.state_dict()[name], tensor), name

    def draw(pipe: Any) -> Any:
        pipe.set_progress_bar_config(disable=True)
        source = torch.Generator().manual_seed(0)
        call = {"num_inference_steps": 2, "max_sequence_length": 6, "output_type": "pt"}
        return pipe("a cat", generator=source, **call).images

    assert torch.equal(draw(found), draw(pipe))


def test_shapes_that_are_not_those_of_a_transformer(tmp_path: Path) -> None:
    shapes = {"joint_blocks.0.x_block.attn.qkv.weight": (4, 4), "x_embedder.proj.weight": (4, 4)}
    file = sparse_file(tmp_path / "x.safetensors", shapes)
    with pytest.raises(WeightsMismatchError, match=r"no tensor x_embedder.proj.weight with 4 axes"):
        SD3Transformer2DModel.from_single_file(file)
