"""The upscaler without a prompt against diffusers, seed for seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.pictures import picture

from autopipe import LDMSuperResolutionPipeline as Pipe

pytestmark = pytest.mark.parity

PICTURE = picture(32, 32)
TENSOR = torch.randn(2, 3, 16, 24, generator=torch.Generator().manual_seed(3)).clamp(-1, 1)


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"image": picture(40, 68)},
        {"image": TENSOR},
        {"image": TENSOR, "seed": [1, 2]},
        {"eta": 1.0, "seed": None, "output_type": "pt"},
        {"batch_size": 3},
    ],
    ids=lambda call: ",".join(call) or "defaults",
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Pipe, **{"image": PICTURE, **call})


@pytest.mark.parametrize(
    "name", ["PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler",
             "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler"]
)  # fmt: skip
def test_schedulers(compare: Callable[..., Any], scheduler: Callable[..., Any], name: str) -> None:
    # What adds noise draws it from torch's random state there.
    seed = None if "Ancestral" in name else 0
    given = {"scheduler": scheduler(name)}
    compare(Pipe, image=PICTURE, num_inference_steps=4, components=given, seed=seed)


def test_kinds_of_errors(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    # Here, lists of pictures are enlarged, too.
    call = {"image": PICTURE, "num_inference_steps": 3}
    assert_same_kinds(ours, reference(ours), call)


def test_saved_alike(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
) -> None:
    ours = build(Pipe)
    saved_alike(ours, reference(ours))
