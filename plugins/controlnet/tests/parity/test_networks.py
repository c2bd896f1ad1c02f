"""ControlNets against the reference, at the names and shapes of real checkpoints and at random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.networks import assert_same_names
from support.public import public_config

from autopipe import ControlNetModel, MultiControlNetModel, UNet2DConditionModel

from ..conftest import SDXL

pytestmark = pytest.mark.parity


# The same sums in another order; largest difference over largest value.
TOLERANCE = 1e-5

PROJECTION = {"projection_class_embeddings_input_dim": 7}


def inputs(batch: int = 2, seed: int = 3) -> dict[str, Any]:
    source = torch.Generator().manual_seed(seed)
    return {
        "sample": torch.randn(batch, 4, 8, 8, generator=source),
        "timestep": 500,
        "encoder_hidden_states": torch.randn(batch, 5, 12, generator=source),
        "controlnet_cond": torch.rand(batch, 3, 16, 16, generator=source),
    }


@torch.no_grad()
def same(record: Callable[..., float], ours: Any, theirs: Any, **given: Any) -> None:
    given = {**inputs(), **given}
    expected_down, expected_mid = theirs(**given, return_dict=False)
    down, mid = ours(**given, return_dict=False)
    assert len(down) == len(expected_down)
    for one, expected in zip((*down, mid), (*expected_down, expected_mid)):
        assert expected.std() > 1e-4
        scale = expected.abs().max()
        assert record("ControlNetModel (relative)", one / scale, expected / scale) < TOLERANCE


@pytest.mark.parametrize("checkpoint", ["controlnet-sd15", "controlnet-sdxl"])
def test_state_dicts(checkpoint: str) -> None:
    assert_same_names(ControlNetModel, public_config(checkpoint))


def test_configs() -> None:
    """Every key of the config, with its default."""
    import diffusers

    with torch.device("meta"):
        theirs = diffusers.ControlNetModel().config
    ours = ControlNetModel.init_parameters()
    assert {k: p.default for k, p in ours.items()} == {k: theirs[k] for k in ours}
    assert set(ours) == {name for name in theirs if not name.startswith("_")}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_attention_heads": 4, "attention_head_dim": 2},
        {"attention_head_dim": (2, 8), "use_linear_projection": True},
        {"only_cross_attention": True},
        {"transformer_layers_per_block": (2, 1)},
        {"resnet_time_scale_shift": "scale_shift"},
        {"act_fn": "gelu", "norm_eps": 1e-3},
        {"flip_sin_to_cos": False, "freq_shift": 1},
        {"mid_block_type": "UNetMidBlock2D", "mid_block_scale_factor": 1.7},
        {"downsample_padding": 0},
        {"controlnet_conditioning_channel_order": "bgr"},
        {"upcast_attention": True},
        {"encoder_hid_dim": 12},
        {"layers_per_block": 2, "norm_num_groups": 4},
    ],
    ids=lambda changes: "-".join(changes) or "plain",
)
def test_features(
    controlnets: Any, twin: Any, record: Callable[..., float], changes: dict[str, Any]
) -> None:
    ours = controlnets(**changes)
    same(record, ours, twin(ours))


@pytest.mark.parametrize("guess_mode", [False, True])
@pytest.mark.parametrize("scale", [1.0, 0.35])
@pytest.mark.parametrize("pooled", [False, True])
def test_scales(
    controlnets: Any,
    twin: Any,
    record: Callable[..., float],
    guess_mode: bool,
    scale: float,
    pooled: bool,
) -> None:
    ours = controlnets(global_pool_conditions=pooled)
    same(record, ours, twin(ours), conditioning_scale=scale, guess_mode=guess_mode)


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"num_class_embeds": 5}, torch.tensor([4, 0])),
        ({"class_embed_type": "timestep", "act_fn": "gelu"}, torch.tensor([4, 900])),
        ({"class_embed_type": "identity"}, torch.ones(2, 64)),
        ({"class_embed_type": "projection", **PROJECTION}, torch.ones(2, 7)),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_classes(
    controlnets: Any,
    twin: Any,
    record: Callable[..., float],
    changes: dict[str, Any],
    labels: torch.Tensor,
) -> None:
    ours = controlnets(**changes)
    same(record, ours, twin(ours), class_labels=labels)


def test_added_conditions(controlnets: Any, twin: Any, record: Callable[..., float]) -> None:
    ours = controlnets(**SDXL)
    ids = torch.tensor([[64, 64, 0, 8, 64, 32], [32, 64, 0, 0, 64, 64]])
    added = {"text_embeds": torch.ones(2, 10), "time_ids": ids}
    same(record, ours, twin(ours), added_cond_kwargs=added)


def test_several(controlnets: Any, twin: Any, record: Callable[..., float]) -> None:
    ours = MultiControlNetModel([controlnets(seed=2), controlnets(seed=3)])
    pictures = [inputs(seed=n)["controlnet_cond"] for n in (4, 5)]
    same(record, ours, twin(ours), controlnet_cond=pictures, conditioning_scale=[0.5, 1.5])
    same(record, ours, twin(ours), controlnet_cond=pictures, conditioning_scale=[0.0, 1.0])


@pytest.mark.parametrize("extra", [{}, SDXL, {"class_embed_type": "timestep"}], ids=str)
def test_from_unet(unets: Any, twin: Any, extra: dict[str, Any]) -> None:
    import diffusers

    unet: UNet2DConditionModel = unets(**extra)
    picture = {"conditioning_embedding_out_channels": (4, 8), "conditioning_channels": 1}
    ours = ControlNetModel.from_unet(unet, "bgr", **picture)
    theirs = diffusers.ControlNetModel.from_unet(twin(unet), "bgr", **picture)
    config = {k: v for k, v in theirs.config.items() if not k.startswith("_")}
    assert {k: ours.config[k] for k in config} == config
    state = ours.state_dict()
    for name, tensor in theirs.state_dict().items():
        if "controlnet_cond_embedding" not in name:
            assert torch.equal(state[name], tensor), name


def test_folders_of_several(controlnets: Any, tmp_path: Path) -> None:
    import diffusers

    ours = MultiControlNetModel([controlnets(seed=n) for n in (2, 3, 4)])
    ours.save_pretrained(tmp_path / "controlnet")
    theirs = diffusers.MultiControlNetModel.from_pretrained(str(tmp_path / "controlnet"))
    state = theirs.state_dict()
    assert state.keys() == ours.state_dict().keys()
    assert all(torch.equal(state[name], one) for name, one in ours.state_dict().items())
    theirs.save_pretrained(str(tmp_path / "again"))
    back = MultiControlNetModel.from_pretrained(tmp_path / "again")
    assert all(torch.equal(state[name], one) for name, one in back.state_dict().items())
