"""Prior and decoder as one pipeline against diffusers, and checkpoints both ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.parity import TOLERANCE, generators
from support.pictures import mask, picture

import autopipe
from autopipe import (
    KandinskyV22CombinedPipeline,
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22InpaintCombinedPipeline,
)

pytestmark = pytest.mark.parity

diffusers = pytest.importorskip("diffusers")

SMALL = {"height": 16, "width": 16, "num_inference_steps": 3, "prior_num_inference_steps": 3}
KINDS: dict[Any, dict[str, Any]] = {
    KandinskyV22CombinedPipeline: {},
    KandinskyV22Img2ImgCombinedPipeline: {"image": picture(), "strength": 0.7},
    KandinskyV22InpaintCombinedPipeline: {"image": picture(), "mask_image": mask()},
}
ALL = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@ALL
@pytest.mark.parametrize(
    "call",
    [
        {},
        {"prompt": ["a cat", "dog"], "image": [picture(), picture(seed=2)]},
        {
            "prompt": ["a cat", "dog"],
            "num_images_per_prompt": 2,
            "image": [picture()],
            "mask_image": [mask()],
        },
        {"negative_prompt": "dog"},
        {"prior_guidance_scale": 1.0},
        {"guidance_scale": 2.0, "prior_guidance_scale": 2.0},
        {"seed": None},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(compare: Callable[..., Any], kind: Any, call: dict[str, Any]) -> None:
    call = {n: v for n, v in call.items() if n in KINDS[kind] or n not in ("image", "mask_image")}
    if kind is KandinskyV22InpaintCombinedPipeline and "image" in call:
        # One image and mask for all: what the reference blends in is the first.
        call |= {"image": [picture()], "mask_image": [mask()]}
    compare(kind, **{**SMALL, **KINDS[kind], **call})


def test_parameters_change_the_image(compare: Callable[..., Any]) -> None:
    """What the comparisons above compare is not all the same picture."""
    plain = compare(KandinskyV22CombinedPipeline, **SMALL)
    for call in (
        {"prompt": "a red dog"},
        {"prior_guidance_scale": 1.0},
        {"negative_prompt": "dog"},
    ):
        other = compare(KandinskyV22CombinedPipeline, **{"prompt": "a cat", **SMALL, **call})
        assert np.abs(other - plain).max() > 1e-3, call


@ALL
def test_checkpoints_both_ways(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    folder: Path,
    kind: Any,
) -> None:
    ours = build(kind)
    theirs = reference(ours)
    ours.save_pretrained(folder / "ours")
    theirs.save_pretrained(folder / "theirs")
    pipes = [
        ours,
        diffusers.DiffusionPipeline.from_pretrained(folder / "ours"),
        autopipe.DiffusionPipeline.from_pretrained(folder / "theirs"),
    ]
    drawn = []
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
        call = {**SMALL, **KINDS[kind], "output_type": "np"}
        drawn.append(pipe("a cat", **call, generator=generators(0)).images)
        assert type(pipe).__name__ == kind.__name__
    assert record("saved here, loaded there", drawn[0], drawn[1]) <= TOLERANCE
    assert record("saved there, loaded here", drawn[2], drawn[0]) <= TOLERANCE


def test_the_prior_that_a_card_names(
    build: Callable[..., Any], folder: Path, record: Callable[..., float]
) -> None:
    combined = build(KandinskyV22CombinedPipeline)
    combined.prior_pipe.save_pretrained(folder / "prior")
    combined.decoder_pipe.save_pretrained(folder / "decoder")
    card = f"---\nprior:\n- {folder / 'prior'}\n---\n"
    (folder / "decoder" / "README.md").write_text(card, encoding="utf-8")
    drawn = []
    for library in (autopipe, diffusers):
        pipe = library.AutoPipelineForText2Image.from_pretrained(folder / "decoder")
        pipe.set_progress_bar_config(disable=True)
        assert type(pipe).__name__ == "KandinskyV22CombinedPipeline"
        drawn.append(pipe("a cat", **SMALL, output_type="np", generator=generators(0)).images)
    assert record("opened by the card", *drawn) <= TOLERANCE
