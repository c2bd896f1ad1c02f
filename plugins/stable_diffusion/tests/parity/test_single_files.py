"""Single files in the layout of the authors give what diffusers reads from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support import tiny
from support.single_files import assert_same_images, assert_same_tensors, saved
from transformers import CLIPTextModel

import autopipe
from autopipe import DDIMScheduler, StableDiffusionInpaintPipeline, StableDiffusionPipeline

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")


@pytest.fixture
def second(build: Callable[..., Any], unets: Any, tokenizer: Any) -> Any:
    """A Stable Diffusion 2.x: OpenCLIP's text encoder, linear projections, velocities."""
    return build(
        StableDiffusionPipeline,
        unet=unets(use_linear_projection=True, attention_head_dim=(2, 4)),
        text_encoder=tiny.make_text_encoder(CLIPTextModel, tokenizer, hidden_act="gelu"),
        scheduler=DDIMScheduler(**tiny.BETAS, prediction_type="v_prediction", clip_sample=False),
    )


@pytest.mark.parametrize("kind", ["first", "second"])
def test_text_to_image(kind: str, build: Any, second: Any, folder: Path) -> None:
    pipe = build(StableDiffusionPipeline) if kind == "first" else second
    file = saved(pipe, folder)
    ours = StableDiffusionPipeline.from_single_file(file, config=folder)
    theirs = diffusers.StableDiffusionPipeline.from_single_file(str(file), config=str(folder))
    assert_same_tensors(ours, pipe)
    assert_same_tensors(ours, theirs)
    assert ours.scheduler.config.get("prediction_type") == theirs.scheduler.config.prediction_type
    assert_same_images(ours, theirs, prompt="a cat")
    assert_same_images(ours, pipe, prompt="a cat")


def test_a_pickle_with_training_state(second: Any, folder: Path) -> None:
    file = saved(second, folder).with_suffix(".ckpt")
    state = load_file(file.with_suffix(".safetensors"))
    extra = {f"model_ema.{i}": torch.ones(1) for i in range(3)} | {"betas": torch.ones(4)}
    torch.save({"state_dict": state | extra, "global_step": 7}, file)
    ours = StableDiffusionPipeline.from_single_file(file, config=folder)
    theirs = diffusers.StableDiffusionPipeline.from_single_file(str(file), config=str(folder))
    assert_same_tensors(ours, theirs)
    assert_same_tensors(ours, second)


def test_inpainting(build: Any, unets: Any, folder: Path) -> None:
    from PIL import Image

    pipe = build(StableDiffusionInpaintPipeline, unet=unets(in_channels=9))
    file = saved(pipe, folder)
    ours = StableDiffusionInpaintPipeline.from_single_file(file, config=folder)
    theirs = diffusers.StableDiffusionInpaintPipeline.from_single_file(
        str(file), config=str(folder)
    )
    assert_same_tensors(ours, theirs)
    picture, mask = Image.new("RGB", (16, 16), (200, 30, 60)), Image.new("L", (16, 16), 255)
    call = {"prompt": "a cat", "image": picture, "mask_image": mask, "height": 16, "width": 16}
    assert_same_images(ours, theirs, **call)


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_networks(part: str, build: Any, folder: Path) -> None:
    pipe = build(StableDiffusionPipeline)
    file, name = saved(pipe, folder), type(getattr(pipe, part)).__name__
    options: dict[str, Any] = {"config": str(folder), "subfolder": part}
    ours = getattr(autopipe, name).from_single_file(file, **options)
    theirs = getattr(diffusers, name).from_single_file(str(file), **options)
    assert_same_tensors(ours, theirs)
    # A state dict, and the names that diffusers gives, which both take.
    again = getattr(autopipe, name).from_single_file(load_file(file), **options)
    assert_same_tensors(again, theirs)
    plain = folder / part / "diffusion_pytorch_model.safetensors"
    assert_same_tensors(
        getattr(autopipe, name).from_single_file(plain, **options),
        getattr(diffusers, name).from_single_file(str(plain), **options),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dtypes(dtype: torch.dtype, build: Any, folder: Path) -> None:
    file = saved(build(StableDiffusionPipeline), folder)
    options: dict[str, Any] = {"config": str(folder), "torch_dtype": dtype}
    ours = StableDiffusionPipeline.from_single_file(file, **options)
    theirs = diffusers.StableDiffusionPipeline.from_single_file(str(file), **options)
    assert ours.dtype is dtype
    assert_same_tensors(ours, theirs)
