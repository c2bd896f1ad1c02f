"""A Stable Diffusion XL small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from support.pictures import mask, picture
from support.tiny import BETAS, UNET, VAE, WIDTH, make_text_encoder, make_tokenizer, seeded
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import autopipe
from autopipe import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from autopipe.pipeline.base import DiffusionPipeline

POOLED, IDS = 10, 4


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def tokenizer_2(tmp_path_factory: pytest.TempPathFactory) -> CLIPTokenizer:
    """The second one pads with an exclamation mark."""
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer_2"), pad_token="!")


@pytest.fixture(scope="session")
def text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return make_text_encoder(CLIPTextModel, tokenizer, seed=1)


@pytest.fixture(scope="session")
def text_encoder_2(tokenizer_2: CLIPTokenizer) -> CLIPTextModelWithProjection:
    return make_text_encoder(
        CLIPTextModelWithProjection, tokenizer_2, seed=2, projection_dim=POOLED
    )


@pytest.fixture(scope="session")
def vae() -> AutoencoderKL:
    return seeded(lambda: AutoencoderKL(**VAE))


@pytest.fixture(scope="session")
def unets() -> Callable[..., UNet2DConditionModel]:
    """Makes a U-Net, each of a kind once: `unets()`, `unets(refiner=True, in_channels=9)`."""
    made: dict[Any, UNet2DConditionModel] = {}

    def unet(*, refiner: bool = False, **changes: Any) -> UNet2DConditionModel:
        key = (refiner, *sorted(changes.items()))
        if key not in made:
            config = {
                **UNET,
                "cross_attention_dim": WIDTH if refiner else 2 * WIDTH,
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": IDS,
                "projection_class_embeddings_input_dim": POOLED + (5 if refiner else 6) * IDS,
                "out_channels": 4,
            }
            made[key] = seeded(lambda: UNet2DConditionModel(**{**config, **changes}), seed=3)
        return made[key]

    return unet


@pytest.fixture
def base(
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    text_encoder_2: CLIPTextModelWithProjection,
    tokenizer: CLIPTokenizer,
    tokenizer_2: CLIPTokenizer,
    unets: Callable[..., UNet2DConditionModel],
) -> dict[str, Any]:
    """The components and options of a base checkpoint."""
    return {
        "vae": vae,
        "text_encoder": text_encoder,
        "text_encoder_2": text_encoder_2,
        "tokenizer": tokenizer,
        "tokenizer_2": tokenizer_2,
        "unet": unets(),
        "scheduler": EulerDiscreteScheduler(**BETAS, steps_offset=1, timestep_spacing="leading"),
        "add_watermarker": False,
    }


@pytest.fixture
def refiner(unets: Callable[..., UNet2DConditionModel]) -> dict[str, Any]:
    """What a refiner has in place of that."""
    return {
        "text_encoder": None,
        "tokenizer": None,
        "unet": unets(refiner=True),
        "requires_aesthetics_score": True,
        "force_zeros_for_empty_prompt": False,
    }


@pytest.fixture
def build(base: dict[str, Any]) -> Callable[..., Any]:
    """Makes a pipeline: `build(StableDiffusionXLPipeline, scheduler=...)`."""

    def pipeline(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        pipe: Any = kind(**{**base, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@dataclass(frozen=True)
class TaskCase:
    """A pipeline class and the least that its call needs."""

    kind: type[Any]
    call: dict[str, Any]


CASES: dict[str, dict[str, Any]] = {
    "StableDiffusionXLPipeline": {},
    "StableDiffusionXLImg2ImgPipeline": {"image": picture(), "strength": 0.7},
    "StableDiffusionXLInpaintPipeline": {"image": picture(), "mask_image": mask()},
}


@pytest.fixture(params=CASES)
def task(request: pytest.FixtureRequest) -> TaskCase:
    """Each task in turn."""
    return case(request.param)


@pytest.fixture(params=list(CASES)[1:])
def image_task(request: pytest.FixtureRequest) -> TaskCase:
    """Each task that starts from an image."""
    return case(request.param)


def case(name: str) -> TaskCase:
    call = {"num_inference_steps": 3, "output_type": "pt", **CASES[name]}
    return TaskCase(getattr(autopipe, name), call)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network may be used in this test."""

    def used(self: Any, *args: Any, **kwargs: Any) -> None:
        pytest.fail(f"{type(self).__name__} was used before the error")

    for network, method in (
        (UNet2DConditionModel, "forward"),
        (AutoencoderKL, "encode"),
        (AutoencoderKL, "decode"),
        (CLIPTextModel, "forward"),
        (CLIPTextModelWithProjection, "forward"),
    ):
        monkeypatch.setattr(network, method, used)


@pytest.fixture
def seed() -> Callable[[int], torch.Generator]:
    return lambda number=0: torch.Generator().manual_seed(number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"
