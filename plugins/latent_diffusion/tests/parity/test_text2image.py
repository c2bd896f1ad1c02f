"""Text to image against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.parity import TOLERANCE, generators

import autopipe
from autopipe import LDMTextToImagePipeline as Pipe

pytestmark = pytest.mark.parity

NOISE = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"prompt": ["a cat", "dog"]},
        {"prompt": ["a cat", "dog"], "seed": [1, 2]},
        {"guidance_scale": 6.0},
        {"guidance_scale": 0.5},
        {"prompt": ["a cat", "dog"], "guidance_scale": 6.0, "height": 48},
        {"latents": NOISE},
        # Without a generator, both draw the noise of the steps from the global one.
        {"seed": None, "eta": 0.5},
        {"output_type": "pt"},
        {"prompt": "a prompt that is much longer than the few tokens that are read of it"},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Pipe, **call)


def test_parameters_change_the_image(compare: Callable[..., Any]) -> None:
    """Check that the comparisons above compare different pictures."""
    plain = compare(Pipe, guidance_scale=6.0)
    for call in ({"prompt": "dog"}, {"guidance_scale": 1.0}, {"seed": 1}):
        other = compare(Pipe, **{"guidance_scale": 6.0, **call})
        assert np.abs(other - plain).max() > 10 * TOLERANCE, call


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("DDIMScheduler", 0),
        ("DEISMultistepScheduler", 0),
        ("DPMSolverMultistepScheduler", 0),
        ("DPMSolverSinglestepScheduler", 0),
        ("PNDMScheduler", 0),
        ("UniPCMultistepScheduler", 0),
        # They draw in each step, and diffusers doesn't pass the generator on here.
        ("DDPMScheduler", None),
        ("LCMScheduler", None),
        ("TCDScheduler", None),
    ],
)
def test_schedulers(
    compare: Callable[..., Any], scheduler: Callable[..., Any], name: str, seed: int | None
) -> None:
    """Those that scale neither noise nor input, which diffusers forgets to do here."""
    made = scheduler(name)
    call = {"guidance_scale": 2.0, "num_inference_steps": 4, "seed": seed}
    compare(Pipe, components={"scheduler": made}, **call)


def test_kinds_of_errors(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    assert_same_kinds(ours, reference(ours), {"prompt": "a cat", "num_inference_steps": 2})


def test_checkpoints_both_ways(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
    record: Callable[..., float],
    tmp_path: Path,
) -> None:
    import diffusers

    ours = build(Pipe)
    theirs = reference(ours)
    saved_alike(ours, theirs)
    pipes = (
        ours,
        diffusers.DiffusionPipeline.from_pretrained(tmp_path / "ours"),
        autopipe.DiffusionPipeline.from_pretrained(tmp_path / "theirs"),
        autopipe.AutoPipelineForText2Image.from_pretrained(tmp_path / "theirs"),
    )
    drawn = []
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
        call = {"num_inference_steps": 2, "output_type": "np"}
        drawn.append(pipe("a cat", **call, generator=generators(0)).images)
    for image in drawn[1:]:
        assert record("checkpoints of both", drawn[0], image) <= TOLERANCE
