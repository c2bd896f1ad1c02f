"""All tasks with the tiny autoencoder as `vae`, against diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.pictures import mask, picture
from support.tiny import seeded

from autopipe import (
    AutoencoderTiny,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    StableDiffusionXLPipeline,
)

pytestmark = pytest.mark.parity

LEVELS = {f"num_{part}_blocks": (1, 1) for part in ("encoder", "decoder")}
WIDTHS = {f"{part}_block_out_channels": (8, 8) for part in ("encoder", "decoder")}


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (StableDiffusionXLPipeline, {}),
        (StableDiffusionXLImg2ImgPipeline, {"image": picture(), "strength": 0.7}),
        (
            StableDiffusionXLInpaintPipeline,
            {"image": picture(), "mask_image": mask(), "height": 16, "width": 16, "strength": 0.9},
        ),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_pictures(compare: Callable[..., Any], kind: type, call: dict[str, Any]) -> None:
    tiny = seeded(lambda: AutoencoderTiny(**LEVELS, **WIDTHS))
    assert compare(kind, components={"vae": tiny}, **call).std() > 0.001
