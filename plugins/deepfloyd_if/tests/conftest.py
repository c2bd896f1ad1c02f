"""A DeepFloyd IF small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from support.pictures import mask, picture
from support.tiny import seeded
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPVisionConfig,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

import autopipe
from autopipe import DDPMScheduler, IFSafetyChecker, IFWatermarker, UNet2DConditionModel
from autopipe.pipeline.base import DiffusionPipeline

WIDTH = 24
"""Of the hidden states of the text encoder."""

SIDE = 16
"""Pixels of what the U-Nets were made for."""

SCHEDULER: dict[str, Any] = {
    "variance_type": "learned_range",
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "epsilon",
    "thresholding": True,
    "dynamic_thresholding_ratio": 0.95,
    "sample_max_value": 1.5,
}
"""As the checkpoints of the first stage have it."""

STAGE_1_UNET: dict[str, Any] = {
    "sample_size": SIDE,
    "in_channels": 3,
    "out_channels": 6,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "act_fn": "gelu",
    "attention_head_dim": 8,
    "cross_attention_dim": 32,
    "cross_attention_norm": "group_norm",
    "encoder_hid_dim": WIDTH,
    "encoder_hid_dim_type": "text_proj",
    "addition_embed_type": "text",
    "addition_embed_type_num_heads": 2,
    "resnet_time_scale_shift": "scale_shift",
}
STAGE_2_UNET: dict[str, Any] = {
    **STAGE_1_UNET,
    "in_channels": 6,
    "class_embed_type": "timestep",
    "mid_block_scale_factor": 1.414,
    "only_cross_attention": True,
    "resnet_out_scale_factor": 1.414,
    "resnet_skip_time_act": True,
    "time_embedding_act_fn": "gelu",
    "time_embedding_dim": 64,
}
WORDS = (
    "a red cat on a white background",
    "a photo of a dog, and of a kangaroo in an orange hoodie",
    "blurry, low quality picture of nothing at all",
)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> T5Tokenizer:
    """A real SentencePiece model, trained on a few words, in the file that checkpoints have."""
    folder = tmp_path_factory.mktemp("tokenizer")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    found: T5Tokenizer = T5Tokenizer.from_pretrained(folder, extra_ids=0, model_max_length=512)
    return found


@pytest.fixture(scope="session")
def text_encoder(tokenizer: T5Tokenizer) -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=WIDTH,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    found: T5EncoderModel = seeded(lambda: T5EncoderModel(config), seed=1)
    return found


@pytest.fixture(scope="session")
def unets() -> Callable[..., UNet2DConditionModel]:
    """Makes a U-Net of a stage, each of a kind once: `unets(2, sample_size=32)`."""
    made: dict[Any, UNet2DConditionModel] = {}

    def unet(stage: int = 1, **changes: Any) -> UNet2DConditionModel:
        config = {**(STAGE_1_UNET if stage == 1 else STAGE_2_UNET), **changes}
        key = tuple(sorted(config.items()))
        if key not in made:
            made[key] = seeded(lambda: UNet2DConditionModel(**config), seed=3)
        return made[key]

    return unet


@pytest.fixture(scope="session")
def checkers() -> Callable[..., IFSafetyChecker]:
    """Makes a safety checker: `checkers(unwanted=True)` finds something in every image."""
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
        projection_dim=8,
    )
    text = CLIPTextConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )

    def make(unwanted: bool = False, marked: bool = False) -> IFSafetyChecker:
        config = CLIPConfig(
            vision_config=vision.to_dict(), text_config=text.to_dict(), projection_dim=8
        )
        checker: IFSafetyChecker = seeded(lambda: IFSafetyChecker(config), seed=4)
        checker.p_head.bias.data.fill_(9.0 if unwanted else -9.0)
        checker.w_head.bias.data.fill_(9.0 if marked else -9.0)
        return checker

    return make


@pytest.fixture(scope="session")
def feature_extractor() -> CLIPImageProcessor:
    return CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}, do_resize=True
    )


@pytest.fixture(scope="session")
def watermarker() -> IFWatermarker:
    """One with a mark in it; half of it is transparent."""
    made = IFWatermarker()
    values = torch.randint(0, 256, (62, 62, 4), generator=torch.Generator().manual_seed(6))
    made.watermark_image.copy_(values)
    made.watermark_image[:31, :, 3] = 0
    return made


@pytest.fixture
def components(
    tokenizer: T5Tokenizer,
    text_encoder: T5EncoderModel,
    unets: Callable[..., UNet2DConditionModel],
) -> dict[str, Any]:
    """The components and options of a checkpoint of the first stage."""
    return {
        "tokenizer": tokenizer,
        "text_encoder": text_encoder,
        "unet": unets(),
        "scheduler": DDPMScheduler(**SCHEDULER),
        "safety_checker": None,
        "feature_extractor": None,
        "watermarker": None,
        "requires_safety_checker": False,
    }


@pytest.fixture
def build(
    components: dict[str, Any], unets: Callable[..., UNet2DConditionModel]
) -> Callable[..., Any]:
    """Makes a pipeline of either stage: `build(IFPipeline, scheduler=...)`."""

    def pipeline(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        given = dict(components)
        if "image_noising_scheduler" in kind.module_names():
            given["unet"] = unets(2)
            given["image_noising_scheduler"] = DDPMScheduler(beta_schedule="squaredcos_cap_v2")
        pipe: Any = kind(**{**given, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@dataclass(frozen=True)
class TaskCase:
    """A pipeline class and the least that its call needs, besides a prompt."""

    kind: type[Any]
    call: dict[str, Any]
    stage: int


SMALL = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(8)) * 2 - 1
STAGE_1: dict[str, dict[str, Any]] = {
    "IFPipeline": {},
    "IFImg2ImgPipeline": {"image": picture(), "strength": 0.7},
    "IFInpaintingPipeline": {"image": picture(), "mask_image": mask()},
}
STAGE_2: dict[str, dict[str, Any]] = {
    "IFSuperResolutionPipeline": {"image": SMALL},
    "IFImg2ImgSuperResolutionPipeline": {"image": SMALL, "original_image": picture()},
    "IFInpaintingSuperResolutionPipeline": {
        "image": SMALL,
        "original_image": picture(),
        "mask_image": mask(),
    },
}
CASES = {**STAGE_1, **STAGE_2}


def case(name: str) -> TaskCase:
    call = {"num_inference_steps": 3, "output_type": "pt", **CASES[name]}
    return TaskCase(getattr(autopipe, name), call, 1 if name in STAGE_1 else 2)


@pytest.fixture(params=CASES)
def task(request: pytest.FixtureRequest) -> TaskCase:
    """Each class in turn."""
    return case(request.param)


@pytest.fixture(params=STAGE_1)
def first(request: pytest.FixtureRequest) -> TaskCase:
    """Each class of the first stage."""
    return case(request.param)


@pytest.fixture(params=STAGE_2)
def second(request: pytest.FixtureRequest) -> TaskCase:
    """Each class for super-resolution."""
    return case(request.param)


@pytest.fixture(params=[name for name in CASES if "Im" in name or "In" in name])
def image_task(request: pytest.FixtureRequest) -> TaskCase:
    """Each class that starts from an image."""
    return case(request.param)


@pytest.fixture(params=[name for name in CASES if "mask_image" in CASES[name]])
def mask_task(request: pytest.FixtureRequest) -> TaskCase:
    """Each class that repaints a part of an image."""
    return case(request.param)


@pytest.fixture(params=["IFPipeline", "IFSuperResolutionPipeline"])
def noise_task(request: pytest.FixtureRequest) -> TaskCase:
    """Each class that starts from noise."""
    return case(request.param)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network may be used in this test."""

    def used(self: Any, *args: Any, **kwargs: Any) -> None:
        pytest.fail(f"{type(self).__name__} was used before the error")

    for network in (UNet2DConditionModel, T5EncoderModel):
        monkeypatch.setattr(network, "forward", used)


@pytest.fixture
def seed() -> Callable[[int], torch.Generator]:
    return lambda number=0: torch.Generator().manual_seed(number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"
