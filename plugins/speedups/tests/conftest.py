"""A small pipeline of each family, with what its call needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.image_embeddings import (
    DIM,
    SCHEDULE,
    embeds,
    make_movq,
    make_prior_components,
    make_unet,
)
from support.tiny import BETAS, UNET, VAE, WIDTH, make_tokenizer, seeded
from torch import Tensor, nn

import autopipe
from autopipe import AutoPipelineForText2Image, ControlNetModel, UNet2DConditionModel

Made = tuple[Any, dict[str, Any]]
"""A pipeline, and the arguments of a call of it."""

PROMPT = "a red circle on a white background"
STAGE_1 = {
    "sample_size": 16,
    "in_channels": 3,
    "out_channels": 6,
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "attention_head_dim": 8,
    "cross_attention_dim": 32,
    "encoder_hid_dim": 24,
    "encoder_hid_dim_type": "text_proj",
    "resnet_time_scale_shift": "scale_shift",
}
POOLED, IDS = 10, 4


class Texts(nn.Module):
    """A text encoder for Kandinsky 2.1 that only looks at the first letters."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        rows = (input_ids[:, 1:2] % 7 - 3.0) / 3
        return rows.repeat(1, DIM), rows[:, None].repeat(1, 4, DIM)


def stable_diffusion(_: Path) -> Made:
    return AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion"), {"prompt": PROMPT}


def controlnet(_: Path) -> Made:
    pipe = AutoPipelineForText2Image.from_pretrained(
        "demo:stable_diffusion", controlnet=ControlNetModel.from_pretrained("demo:controlnet")
    )
    outline = np.zeros((64, 64, 3), dtype=np.uint8)
    outline[16:48, 16:48] = 255
    outline[18:46, 18:46] = 0
    return pipe, {"prompt": PROMPT, "control_image": Image.fromarray(outline)}


def sdxl(_: Path) -> Made:
    config = {
        **UNET,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": IDS,
        "projection_class_embeddings_input_dim": POOLED + 6 * IDS,
    }
    pipe = autopipe.StableDiffusionXLPipeline(
        vae=seeded(lambda: autopipe.AutoencoderKL(**VAE)),
        text_encoder=None,
        text_encoder_2=None,
        tokenizer=None,
        tokenizer_2=None,
        unet=seeded(lambda: UNet2DConditionModel(**config)),
        scheduler=autopipe.EulerDiscreteScheduler(**BETAS),
        add_watermarker=False,
    )
    return pipe, {
        "prompt_embeds": torch.ones(1, 5, WIDTH),
        "negative_prompt_embeds": torch.zeros(1, 5, WIDTH),
        "pooled_prompt_embeds": torch.ones(1, POOLED),
        "negative_pooled_prompt_embeds": torch.zeros(1, POOLED),
    }


def _pixels(kind: Any, unet: dict[str, Any], **components: Any) -> Made:
    """A stage of DeepFloyd IF."""
    pipe = kind(
        tokenizer=None,
        text_encoder=None,
        unet=seeded(lambda: UNet2DConditionModel(**{**STAGE_1, **unet})),
        scheduler=autopipe.DDPMScheduler(variance_type="learned_range"),
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
        **components,
    )
    texts = {"prompt_embeds": torch.ones(1, 5, 24), "negative_prompt_embeds": torch.zeros(1, 5, 24)}
    return pipe, texts


def deepfloyd_if(_: Path) -> Made:
    return _pixels(autopipe.IFPipeline, {})


def deepfloyd_if_larger(_: Path) -> Made:
    pipe, call = _pixels(
        autopipe.IFSuperResolutionPipeline,
        {"in_channels": 6, "class_embed_type": "timestep", "resnet_skip_time_act": True},
        image_noising_scheduler=autopipe.DDPMScheduler(),
    )
    return pipe, {**call, "image": torch.linspace(-1, 1, 192).reshape(1, 3, 8, 8)}


def kandinsky21(folder: Path) -> Made:
    pipe = autopipe.KandinskyPipeline(
        text_encoder=Texts(),
        tokenizer=make_tokenizer(folder),
        unet=make_unet(encoder_hid_dim_type="text_image_proj", addition_embed_type="text_image"),
        scheduler=autopipe.DDIMScheduler(**SCHEDULE, set_alpha_to_one=False, steps_offset=1),
        movq=make_movq(),
    )
    images = {"image_embeds": embeds(), "negative_image_embeds": embeds(seed=2)}
    return pipe, {"prompt": PROMPT, **images, "height": 16, "width": 16}


def kandinsky22(folder: Path) -> Made:
    prior = make_prior_components(folder)
    pipe = autopipe.KandinskyV22CombinedPipeline(
        unet=make_unet(encoder_hid_dim_type="image_proj", addition_embed_type="image"),
        scheduler=autopipe.DDPMScheduler(**SCHEDULE, variance_type="fixed_small"),
        movq=make_movq(),
        **{f"prior_{name}": one for name, one in prior.items()},
    )
    sizes = {"height": 16, "width": 16, "prior_num_inference_steps": 2}
    return pipe, {"prompt": PROMPT, **sizes}


FAMILIES: dict[str, Callable[[Path], Made]] = {
    one.__name__: one
    for one in (
        stable_diffusion,
        controlnet,
        sdxl,
        deepfloyd_if,
        deepfloyd_if_larger,
        kandinsky21,
        kandinsky22,
    )
}


class Drawing:
    """A pipeline whose calls are short."""

    def __init__(self, pipe: Any, call: dict[str, Any]) -> None:
        self.pipe, self.call = pipe, call
        pipe.set_progress_bar_config(disable=True)

    def __call__(self, seed: int = 1, **changes: Any) -> Any:
        usual = {"num_inference_steps": 6, "guidance_scale": 5.0, "output_type": "pt"}
        call = {**self.call, **usual, **changes}
        return self.pipe(**call, generator=torch.Generator().manual_seed(seed)).images


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """The pipeline of a family, made once."""
    made: dict[str, Made] = {}

    def load(name: str) -> Made:
        if name not in made:
            made[name] = FAMILIES[name](tmp_path_factory.mktemp(name))
        return made[name]

    return load


def _own(pipe: Any, call: dict[str, Any]) -> Drawing:
    """A drawing with the same networks, and a pool without add-ons."""
    options = {
        name: pipe.config[name] for name in ("requires_safety_checker",) if name in pipe.config
    }
    return Drawing(type(pipe)(**pipe.components, **options), call)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest, loaded: Callable[[str], Made]) -> Drawing:
    """Each family in turn."""
    return _own(*loaded(request.param))


@pytest.fixture
def demo(loaded: Callable[[str], Made]) -> Drawing:
    """The demo of Stable Diffusion."""
    return _own(*loaded("stable_diffusion"))


@pytest.fixture
def controlled(loaded: Callable[[str], Made]) -> Drawing:
    """The demo with its ControlNet."""
    return _own(*loaded("controlnet"))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[nn.Module]], list[int]]:
    """Function that returns a list, to which each run of a module class adds its batch size."""

    def count(kind: Any) -> list[int]:
        found: list[int] = []
        forward = kind.forward

        def counted(self: Any, sample: Tensor, *args: Any, **options: Any) -> Any:
            found.append(len(sample))
            return forward(self, sample, *args, **options)

        monkeypatch.setattr(kind, "forward", counted)
        return found

    return count
