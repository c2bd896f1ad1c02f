"""Single files in the layout of the authors give what diffusers reads from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.pictures import mask, picture
from support.single_files import assert_same_images, assert_same_tensors, saved
from support.tiny import WIDTH, make_text_encoder
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

import autopipe

from ..conftest import POOLED

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

SECOND = 24
"""The width of the second text encoder; diffusers tells the two by their widths."""

PICTURE = {"image": picture(), "strength": 0.7}
PAINT = {"image": picture(), "mask_image": mask()}


@pytest.mark.parametrize(
    ("kind", "refines", "channels", "call"),
    [
        ("StableDiffusionXLPipeline", False, 4, {}),
        ("StableDiffusionXLImg2ImgPipeline", True, 4, PICTURE),
        ("StableDiffusionXLInpaintPipeline", False, 9, PAINT),
    ],
)
def test_single_files(
    kind: str,
    refines: bool,
    channels: int,
    call: dict[str, Any],
    build: Callable[..., Any],
    refiner: dict[str, Any],
    unets: Callable[..., Any],
    tokenizer_2: CLIPTokenizer,
    tmp_path: Path,
) -> None:
    changes = dict(refiner) if refines else {}
    changes["text_encoder_2"] = make_text_encoder(
        CLIPTextModelWithProjection, tokenizer_2, seed=2, projection_dim=POOLED, hidden_size=SECOND
    )
    prompt = SECOND if refines else WIDTH + SECOND
    changes["unet"] = unets(refiner=refines, in_channels=channels, cross_attention_dim=prompt)
    pipe = build(getattr(autopipe, kind), **changes)
    folder = tmp_path / "checkpoint"
    file = saved(pipe, folder)
    ours = getattr(autopipe, kind).from_single_file(file, config=folder, add_watermarker=False)
    theirs = getattr(diffusers, kind).from_single_file(
        str(file), config=str(folder), add_watermarker=False
    )
    assert_same_tensors(ours, pipe)
    assert_same_tensors(ours, theirs)
    assert_same_images(ours, theirs, prompt="a cat", **call)
