"""The pipelines of diffusers with the networks of ours, and calls on both."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.parity import quiet_reference  # noqa: F401

from ..conftest import VISION, prompts

TOLERANCE = 1e-4
"""Of images in [0, 1]: float32 rounding, summed in another order, over a few steps."""


@pytest.fixture
def reference() -> Callable[[Any], Any]:
    """Makes the pipeline of diffusers with the classes, configs and weights of one of ours.

    Its networks are its own, as an IP-Adapter changes them.
    """
    import diffusers
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    def twin(ours: Any) -> Any:
        config = {k: v for k, v in ours.config.items() if not k.startswith("_")}
        theirs = getattr(diffusers, type(ours).__name__).from_config(config)
        theirs.load_state_dict(ours.state_dict())
        return theirs.eval()

    def pipeline(ours: Any) -> Any:
        parts: dict[str, Any] = dict.fromkeys(ours.module_names())
        for name in ("vae", "unet", "controlnet"):
            if name in parts:
                parts[name] = twin(ours.components[name])
        if ours.image_encoder is not None:
            parts["image_encoder"] = CLIPVisionModelWithProjection(
                CLIPVisionConfig(**VISION)
            ).eval()
            parts["image_encoder"].load_state_dict(ours.image_encoder.state_dict())
        if ours.feature_extractor is not None:
            side = VISION["image_size"]
            parts["feature_extractor"] = CLIPImageProcessor(size=side, crop_size=side)
        scheduler = getattr(diffusers, type(ours.scheduler).__name__)
        parts["scheduler"] = scheduler.from_config(dict(ours.scheduler.config))
        options = {n: v for n, v in ours.options.items() if n != "add_watermarker"}
        pipe = getattr(diffusers, type(ours).__name__)(**parts, **options)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return pipeline


@pytest.fixture
def compare() -> Callable[..., np.ndarray]:
    """Makes one call on both pipelines and compares the images; returns those of ours."""

    def run(ours: Any, theirs: Any, *, count: int = 1, **call: Any) -> np.ndarray:
        given = {"num_inference_steps": 3, "output_type": "np"}
        given |= {**prompts(type(ours).__name__, count), **call}
        found, expected = (
            pipe(generator=torch.Generator().manual_seed(5), **copy.deepcopy(given)).images
            for pipe in (ours, theirs)
        )
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= TOLERANCE
        return np.asarray(found)

    return run
