"""A tiny Stable Diffusion, and what is written of it in the onnx layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import tiny
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextModel

import autopipe
from autopipe import (
    AutoencoderKL,
    PNDMScheduler,
    StableDiffusionSafetyChecker,
    UNet2DConditionModel,
)
from autopipe_onnx.save import save_onnx

SIDE = 64
TASKS = {
    "": "StableDiffusionPipeline",
    "Img2Img": "StableDiffusionImg2ImgPipeline",
    "Inpaint": "StableDiffusionInpaintPipeline",
}
TOWER = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
# The layout has no config, so the autoencoder must have eight pixels for each cell.
VAE = {
    **tiny.VAE,
    "block_out_channels": (4, 4, 4, 8),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 1,
}


def safety_checker(threshold: float) -> StableDiffusionSafetyChecker:
    """A safety checker that finds something above a similarity of `threshold`."""
    config = CLIPConfig(
        text_config=TOWER,
        vision_config={**TOWER, "image_size": 16, "patch_size": 8},
        projection_dim=8,
    )
    model = tiny.seeded(lambda: StableDiffusionSafetyChecker(config), seed=2)
    for name in ("concept_embeds", "special_care_embeds"):
        getattr(model, f"{name}_weights").data.fill_(threshold)
    return model


def extractor() -> CLIPImageProcessor:
    return CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}, do_center_crop=True
    )


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Engines cache what they convert in a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def components(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    tokenizer = tiny.make_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    return {
        "vae": tiny.seeded(lambda: AutoencoderKL(**VAE)),
        "text_encoder": tiny.make_text_encoder(CLIPTextModel, tokenizer),
        "tokenizer": tokenizer,
        "unet": tiny.seeded(lambda: UNet2DConditionModel(**tiny.UNET), seed=1),
        "scheduler": PNDMScheduler(**tiny.BETAS, skip_prk_steps=True, steps_offset=1),
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


@pytest.fixture(scope="session")
def build(components: dict[str, Any]) -> Callable[..., Any]:
    """Makes the pipeline for a task from torch's networks: `build("Img2Img", unet=...)`."""

    def pipeline(task: str = "", **changes: Any) -> Any:
        pipe = getattr(autopipe, TASKS[task])(**{**components, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture(scope="session")
def saved(
    build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Returns a checkpoint in the onnx layout for a task; that for inpainting has 9 channels."""
    folders: dict[str, Path] = {}

    def folder(task: str = "") -> Path:
        if task not in folders:
            changes = {}
            if task == "Inpaint":
                unet = tiny.seeded(lambda: UNet2DConditionModel(**{**tiny.UNET, "in_channels": 9}))
                changes["unet"] = unet
            folders[task] = tmp_path_factory.mktemp("onnx") / "checkpoint"
            save_onnx(build(task, **changes), folders[task])
        return folders[task]

    return folder


@pytest.fixture
def load(saved: Callable[[str], Path]) -> Callable[[str], Any]:
    """Loads the pipeline for a task from the onnx layout."""

    def pipeline(task: str = "") -> Any:
        pipe = autopipe.DiffusionPipeline.from_pretrained(saved(task))
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture(scope="session")
def inputs() -> dict[str, dict[str, Any]]:
    """The arguments of a short call, by task."""
    picture = Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB")
    mask = Image.new("L", (SIDE, SIDE))
    mask.paste(255, (11, 13, 42, 51))
    short: dict[str, Any] = {"prompt": "a cat", "num_inference_steps": 3, "output_type": "np"}
    size = {"height": SIDE, "width": SIDE}
    return {
        "": {**short, **size},
        "Img2Img": {**short, "image": picture, "strength": 0.7},
        "Inpaint": {**short, **size, "image": picture, "mask_image": mask},
    }
