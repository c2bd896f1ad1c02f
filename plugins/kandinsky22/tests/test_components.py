"""Calls without a component that they don't need, and with components of several dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.components import check_dtypes, needed_of
from support.image_embeddings import stage_call
from support.record import parameters_of

import autopipe

KINDS = (
    "KandinskyV22PriorPipeline",
    "KandinskyV22PriorEmb2EmbPipeline",
    "KandinskyV22Pipeline",
    "KandinskyV22Img2ImgPipeline",
    "KandinskyV22InpaintPipeline",
    "KandinskyV22ControlnetPipeline",
    "KandinskyV22ControlnetImg2ImgPipeline",
    "KandinskyV22CombinedPipeline",
    "KandinskyV22Img2ImgCombinedPipeline",
    "KandinskyV22InpaintCombinedPipeline",
)


@pytest.mark.parametrize("name", KINDS)
def test_needed_components(build: Callable[..., Any], name: str) -> None:
    kind = getattr(autopipe, name)
    known = set(kind.module_names())
    call = stage_call(kind)
    # Only what an image is brought to the image encoder with is not needed of texts.
    spared = {"image_processor", "prior_image_processor"} if "image" not in call else set()
    spared |= {"prior_image_processor"}
    assert needed_of(kind, build, call) == known - spared


@pytest.mark.parametrize("name", KINDS)
def test_lean_calls_need_less(build: Callable[..., Any], name: str) -> None:
    kind = getattr(autopipe, name)
    known, takes = set(kind.module_names()), parameters_of(kind)
    call = stage_call(kind)
    if "Prior" in name:
        call["negative_prompt"] = "a blue square"
        spared = {"image_encoder", "image_processor"}
        call |= {"image": torch.ones(1, 16)} if "image" in takes else {}
    else:
        call["output_type"] = "latent"
        call["negative_prompt"] = "a blue square"
        spared = {"prior_image_encoder", "prior_image_processor"} & known
        if "Inpaint" not in name:
            spared |= {"movq"}
            call |= {"image": torch.ones(1, 4, 8, 8)} if "image" in takes else {}
            # Without an autoencoder a latent cell is 8 pixels wide.
            call |= {"height": 64, "width": 64}
    call = {one: value for one, value in call.items() if one in takes}
    assert needed_of(kind, build, call) == known - spared


@pytest.mark.parametrize("name", KINDS)
def test_networks_of_several_dtypes(build: Callable[..., Any], name: str) -> None:
    kind = getattr(autopipe, name)
    call = stage_call(kind)
    assert check_dtypes(kind, build, {**call, "output_type": "pt"}) > 1
