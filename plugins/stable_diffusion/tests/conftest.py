"""A Stable Diffusion small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support import tiny
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextModel, CLIPTokenizer

import autopipe
from autopipe import AutoencoderKL, PNDMScheduler, StableDiffusionSafetyChecker
from autopipe import UNet2DConditionModel as UNet
from autopipe.pipeline.base import DiffusionPipeline

SCHEDULER = {**tiny.BETAS, "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return tiny.make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return tiny.make_text_encoder(CLIPTextModel, tokenizer)


@pytest.fixture(scope="session")
def vae() -> AutoencoderKL:
    return tiny.seeded(lambda: AutoencoderKL(**tiny.VAE))


@pytest.fixture(scope="session")
def unets() -> Callable[..., UNet]:
    """Makes a U-Net, each of a kind once: `unets()`, `unets(in_channels=9)`."""
    made: dict[Any, UNet] = {}

    def unet(**changes: Any) -> UNet:
        key = tuple(sorted(changes.items()))
        if key not in made:
            made[key] = tiny.seeded(lambda: UNet(**{**tiny.UNET, **changes}), seed=1)
        return made[key]

    return unet


@pytest.fixture(scope="session")
def checkers() -> Callable[[float], StableDiffusionSafetyChecker]:
    """Makes a safety checker of a threshold: 2 finds nothing, -2 everything."""

    def checker(threshold: float) -> StableDiffusionSafetyChecker:
        tower = {
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        }
        config = CLIPConfig(
            text_config=tower,
            vision_config={**tower, "image_size": 16, "patch_size": 8},
            projection_dim=8,
        )
        model = tiny.seeded(lambda: StableDiffusionSafetyChecker(config), seed=2)
        for name in ("concept_embeds", "special_care_embeds"):
            getattr(model, name).data.normal_(generator=torch.Generator().manual_seed(3))
            getattr(model, f"{name}_weights").data.fill_(threshold)
        return model

    return checker


@pytest.fixture(scope="session")
def feature_extractor() -> CLIPImageProcessor:
    return CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}, do_center_crop=True
    )


@pytest.fixture
def build(
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unets: Callable[..., UNet],
) -> Callable[..., Any]:
    """Makes a pipeline: `build(StableDiffusionPipeline, scheduler=...)`."""

    def pipeline(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        components = {
            "vae": vae,
            "text_encoder": text_encoder,
            "tokenizer": tokenizer,
            "unet": unets(),
            "scheduler": PNDMScheduler(**SCHEDULER),
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }
        pipe: Any = kind(**{**components, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture
def seeded() -> Callable[[int], torch.Generator]:
    return lambda seed=0: torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class TaskCase:
    """A pipeline class and the least that its call needs."""

    kind: type[Any]
    call: dict[str, Any]


TASKS = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline",
         "StableDiffusionInpaintPipeline")  # fmt: skip


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> TaskCase:
    """Each task in turn."""
    picture = Image.new("RGB", (16, 16), (200, 30, 60))
    mask = Image.new("L", (16, 16))
    mask.paste(255, (4, 4, 12, 12))
    own: dict[str, dict[str, Any]] = dict(
        zip(TASKS, ({}, {"image": picture}, {"image": picture, "mask_image": mask}))
    )
    call = {"prompt": "a cat", "num_inference_steps": 2, "output_type": "pt", **own[request.param]}
    return TaskCase(getattr(autopipe, request.param), call)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network may be used in this test."""

    def used(self: Any, *args: Any, **kwargs: Any) -> None:
        pytest.fail(f"{type(self).__name__} was used before the error")

    for network, method in (
        (UNet, "forward"),
        (AutoencoderKL, "encode"),
        (AutoencoderKL, "decode"),
        (CLIPTextModel, "forward"),
    ):
        monkeypatch.setattr(network, method, used)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"
