"""Single files of Stable Diffusion XL, of the sizes that are published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.sparse import layout_shapes, on_meta, sparse_file

from autopipe import (
    AutoencoderKL,
    AutoPipelineForText2Image,
    DiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from autopipe_components.encoders.clip_text import CLIPTextModel, CLIPTextModelWithProjection
from autopipe_components.original.layout import presets
from autopipe_sdxl.single_file import StableDiffusionXLLayout

CLASSES: dict[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}

SHAPES = {
    # Of the published files.
    "base": {
        "model.diffusion_model.label_emb.0.0.weight": (1280, 2816),
        "model.diffusion_model.middle_block.1.transformer_blocks.9.attn2.to_k.weight": (1280, 2048),
        "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight": (768,),
        "conditioner.embedders.1.model.text_projection": (1280, 1280),
        "conditioner.embedders.1.model.transformer.resblocks.31.attn.in_proj_bias": (3840,),
    },
    "refiner": {
        "model.diffusion_model.label_emb.0.0.weight": (1536, 2560),
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.3.attn2.to_k.weight": (
            768,
            1280,
        ),
        "conditioner.embedders.0.model.transformer.resblocks.9.mlp.c_proj.bias": (1280,),
    },
}


def published(kind: str, channels: int = 4) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file."""
    configs = presets("autopipe_sdxl")[kind]
    given = {**configs, "unet": {**configs["unet"], "in_channels": channels}}
    networks = {name: on_meta(cls, given[name]) for name, cls in CLASSES.items() if name in given}
    return layout_shapes(StableDiffusionXLLayout, "StableDiffusionXLPipeline", networks)


@pytest.mark.parametrize("kind", SHAPES)
def test_names_and_shapes_are_the_published_ones(kind: str) -> None:
    found = published(kind)
    assert {name: found[name] for name in SHAPES[kind]} == SHAPES[kind]
    if kind == "base":
        assert len([name for name in found if name.startswith("model.diffusion_model.")]) == 1680


@pytest.mark.parametrize(
    ("kind", "channels", "cls"),
    [
        ("base", 4, "StableDiffusionXLPipeline"),
        ("base", 9, "StableDiffusionXLInpaintPipeline"),
        ("refiner", 4, "StableDiffusionXLImg2ImgPipeline"),
    ],
)
def test_a_file_alone_is_enough(kind: str, channels: int, cls: str, tmp_path: Path) -> None:
    file = sparse_file(tmp_path / "x.safetensors", published(kind, channels))
    pipe: Any = DiffusionPipeline.from_pretrained(file, torch_dtype="auto")
    assert type(pipe).__name__ == cls
    assert type(pipe.scheduler).__name__ == "EulerDiscreteScheduler"
    assert pipe.vae.config.scaling_factor == 0.13025
    assert (pipe.text_encoder is None) == (kind == "refiner")
    assert pipe.tokenizer_2("a", padding="max_length").input_ids[:5] == [49406, 320, 49407, 0, 0]
    if kind == "refiner":
        assert pipe.config.requires_aesthetics_score
        assert not pipe.config.force_zeros_for_empty_prompt


def test_marks_of_the_authors(tmp_path: Path) -> None:
    marked = {**published("base"), "v_pred": (), "ztsnr": ()}
    file = sparse_file(tmp_path / "x.safetensors", marked)
    pipe = AutoPipelineForText2Image.from_single_file(file, torch_dtype="auto")
    assert pipe.scheduler.config.prediction_type == "v_prediction"
    assert pipe.scheduler.config.rescale_betas_zero_snr


def test_the_network_alone(tmp_path: Path) -> None:
    shapes = published("base")
    bare = {
        n.removeprefix("model.diffusion_model."): s for n, s in shapes.items() if "model.di" in n
    }
    file = sparse_file(tmp_path / "unet.safetensors", bare)
    unet = UNet2DConditionModel.from_single_file(file, torch_dtype="auto")
    assert unet.config.cross_attention_dim == 2048
    assert unet.dtype is torch.float16
    with pytest.raises(OSError, match=r"unet alone.*UNet2DConditionModel.from_single_file"):
        StableDiffusionXLPipeline.from_single_file(file)
