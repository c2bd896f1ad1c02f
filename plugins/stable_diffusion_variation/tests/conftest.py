"""Image variations small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import tiny
from support.image_embeddings import idle, prior_components  # noqa: F401

from autopipe import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from autopipe.pipeline.base import DiffusionPipeline

SCHEDULER = {**tiny.BETAS, "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}


@pytest.fixture(scope="session")
def parts(prior_components: dict[str, Any]) -> dict[str, Any]:  # noqa: F811
    """The components, which all pipelines of the tests share."""
    return {
        "vae": tiny.seeded(lambda: AutoencoderKL(**tiny.VAE)),
        "image_encoder": prior_components["image_encoder"],
        "unet": tiny.seeded(lambda: UNet2DConditionModel(**tiny.UNET), seed=1),
        "scheduler": PNDMScheduler(**SCHEDULER),
        "safety_checker": None,
        "feature_extractor": prior_components["image_processor"],
        "requires_safety_checker": False,
    }


@pytest.fixture
def build(parts: dict[str, Any]) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        pipe: Any = kind(**{**parts, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make
