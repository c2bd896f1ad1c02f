"""A Kandinsky 2.2 small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.image_embeddings import (
    SCHEDULE,
    idle,  # noqa: F401
    make_unet,
    movq,  # noqa: F401
    prior_components,  # noqa: F401
)

from autopipe import DDPMScheduler
from autopipe.pipeline.base import DiffusionPipeline

SIZE: dict[str, Any] = {"height": 16, "width": 16}
"""In pixels: 8 latent cells along each axis."""

_UNETS: dict[str, dict[str, Any]] = {
    "Inpaint": {"addition_embed_type": "image", "in_channels": 9},
    "Controlnet": {"addition_embed_type": "image_hint", "in_channels": 8},
    "": {"addition_embed_type": "image"},
}


@pytest.fixture(scope="session")
def unets() -> Callable[[str], Any]:
    """The U-Net for the pipeline of a name, each of a kind once."""
    made: dict[str, Any] = {}

    def unet(pipeline: str) -> Any:
        kind = next(kind for kind in _UNETS if kind in pipeline)
        if kind not in made:
            made[kind] = make_unet(encoder_hid_dim_type="image_proj", **_UNETS[kind])
        return made[kind]

    return unet


@pytest.fixture
def build(
    prior_components: dict[str, Any],  # noqa: F811
    movq: Any,  # noqa: F811
    unets: Callable[[str], Any],
) -> Callable[..., DiffusionPipeline]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: type[DiffusionPipeline], **components: Any) -> DiffusionPipeline:
        names = kind.module_names()
        parts = dict(prior_components)
        if "unet" in names:
            parts = {
                **{f"prior_{name}": one for name, one in prior_components.items()},
                "unet": unets(kind.__name__),
                "scheduler": DDPMScheduler(**SCHEDULE, variance_type="fixed_small"),
                "movq": movq,
            }
        pipe = kind(**{name: {**parts, **components}[name] for name in names})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint"
