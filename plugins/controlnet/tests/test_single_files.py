"""Files of a ControlNet, of the sizes that are published."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.sparse import on_meta, sparse_file

from autopipe import ControlNetModel
from autopipe.errors import UnsupportedCheckpointError
from autopipe_components.original.layout import presets
from autopipe_components.original.pieces import unet_joined

CONFIGS = presets("autopipe_controlnet")


def published(kind: str, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file."""
    config = CONFIGS[kind]["controlnet"]
    state = on_meta(ControlNetModel, config).state_dict()
    plan = unet_joined("controlnet", state, config, prefix)
    return {name: tuple(state[one.names[0]].shape) for name, one in plan.items()}


@pytest.mark.parametrize("prefix", ["", "control_model."])
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_file_alone_is_enough(kind: str, prefix: str, tmp_path: Path) -> None:
    file = sparse_file(tmp_path / "x.safetensors", published(kind, prefix))
    for load in (ControlNetModel.from_single_file, ControlNetModel.from_pretrained):
        network = load(file, torch_dtype="auto")
        width = CONFIGS[kind]["controlnet"]["cross_attention_dim"]
        assert network.config.cross_attention_dim == width
        assert network.dtype is torch.float16


def test_names_are_the_published_ones() -> None:
    found = published("sd1", "control_model.")
    assert found["control_model.input_hint_block.14.weight"] == (320, 256, 3, 3)
    assert found["control_model.zero_convs.11.0.weight"] == (1280, 1280, 1, 1)
    assert found["control_model.middle_block_out.0.bias"] == (1280,)
    assert len(found) == 340


def test_the_file_of_a_whole_training_run(tmp_path: Path) -> None:
    """Such files have the base model, too."""
    base = {"model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3)}
    file = sparse_file(tmp_path / "x.safetensors", published("sd1", "control_model.") | base)
    network = ControlNetModel.from_single_file(file, torch_dtype="auto")
    assert network.config.in_channels == 4


def test_other_sizes_need_a_config(tmp_path: Path) -> None:
    shapes = {**published("sd1"), "input_blocks.0.0.weight": (64, 4, 3, 3)}
    file = sparse_file(tmp_path / "x.safetensors", shapes)
    with pytest.raises(UnsupportedCheckpointError, match=r"a size that is not known; pass config="):
        ControlNetModel.from_single_file(file)
