"""Checkpoints of EDM, such as Playground 2.5, and stochastic solvers draw as in diffusers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

import autopipe
from autopipe import (
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)

pytestmark = pytest.mark.parity

SCHEDULERS = [
    ("EDMEulerScheduler", {}),
    ("EDMDPMSolverMultistepScheduler", {}),
    ("EDMDPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}),
    ("DPMSolverSDEScheduler", {"noise_sampler_seed": 3}),
    ("SASolverScheduler", {}),
]


@pytest.fixture
def playground(vae: Any) -> Callable[..., dict[str, Any]]:
    """The scheduler, and an autoencoder with the statistics of its latents."""

    def components(name: str, **options: Any) -> dict[str, Any]:
        told = copy.deepcopy(vae)
        told.register_to_config(
            latents_mean=(-1.6574, 1.886, -1.383, 2.5155), latents_std=(8.4927, 5.9022, 6.5498, 5.2)
        )
        return {"vae": told, "scheduler": getattr(autopipe, name)(**options)}

    return components


@pytest.mark.parametrize(("name", "options"), SCHEDULERS)
def test_text_to_image(
    compare: Callable[..., Any], playground: Any, name: str, options: dict[str, Any]
) -> None:
    compare(
        StableDiffusionXLPipeline, num_inference_steps=4, components=playground(name, **options)
    )


PICTURE = torch.linspace(0, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)


@pytest.mark.parametrize(
    "kind", [StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline]
)
@pytest.mark.parametrize("name", ["EDMEulerScheduler", "EDMDPMSolverMultistepScheduler"])
def test_from_a_picture(
    compare: Callable[..., Any], playground: Any, kind: type, name: str
) -> None:
    call: dict[str, Any] = {"image": PICTURE, "strength": 0.7, "num_inference_steps": 4}
    if kind is StableDiffusionXLInpaintPipeline:
        call |= {"mask_image": PICTURE[:, :1] > 0.5, "height": 16, "width": 16}
        call["mask_image"] = call["mask_image"].float()
    components = playground(name)
    if kind is StableDiffusionXLInpaintPipeline:
        del components["vae"]  # the reference encodes for it without the statistics
    compare(kind, components=components, **call)
