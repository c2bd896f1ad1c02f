"""Perturbed-attention guidance against the pipelines of diffusers with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.small_pipelines import call_of

import autopipe

pytestmark = pytest.mark.parity

CLASSES = [
    "StableDiffusionPAGPipeline",
    "StableDiffusionPAGImg2ImgPipeline",
    "StableDiffusionPAGInpaintPipeline",
    "StableDiffusionXLPAGPipeline",
    "StableDiffusionXLPAGImg2ImgPipeline",
    "StableDiffusionXLPAGInpaintPipeline",
    "StableDiffusionControlNetPAGPipeline",
    "StableDiffusionControlNetPAGInpaintPipeline",
    "StableDiffusionXLControlNetPAGPipeline",
    "StableDiffusionXLControlNetPAGImg2ImgPipeline",
]


@pytest.fixture
def same(compare: Callable[..., Any]) -> Callable[..., Any]:
    def run(name: str, components: Any = None, prompts: int = 1, **call: Any) -> Any:
        kind = getattr(autopipe, name)
        return compare(
            kind, None, components=components or {}, **{**call_of(kind, prompts), **call}
        )

    return run


@pytest.mark.parametrize("guidance_scale", [1.0, 5.0])
@pytest.mark.parametrize("name", CLASSES)
def test_every_class(same: Callable[..., Any], name: str, guidance_scale: float) -> None:
    found = same(name, guidance_scale=guidance_scale)
    plain = same(name, guidance_scale=guidance_scale, pag_scale=0.0)
    assert abs(found - plain).max() > 1e-3


@pytest.mark.parametrize(
    "layers",
    ["mid", ["down_blocks.0"], ["up_blocks.1.attentions.0", "mid"], "attentions.(0|1)"],
    ids=str,
)
def test_layers(same: Callable[..., Any], layers: Any) -> None:
    same("StableDiffusionPAGPipeline", {"pag_applied_layers": layers}, pag_scale=2.0)


@pytest.mark.parametrize(
    "call",
    [
        {"pag_scale": 0.7},
        {"pag_scale": 3.0, "pag_adaptive_scale": 0.004},
        {"pag_scale": 3.0, "pag_adaptive_scale": 0.1},
        {"guidance_rescale": 0.6},
        {"num_images_per_prompt": 2},
        {"prompts": 2, "num_images_per_prompt": 2},
        {"output_type": "latent"},
    ],
    ids=str,
)
@pytest.mark.parametrize("family", ["StableDiffusion", "StableDiffusionXL"])
def test_arguments(same: Callable[..., Any], family: str, call: dict[str, Any]) -> None:
    same(f"{family}PAGPipeline", **call)


def test_the_names_and_options_of_the_reference() -> None:
    import inspect

    import diffusers

    for name in CLASSES:
        ours, theirs = getattr(autopipe, name), getattr(diffusers, name)
        assert ours.__name__ == name
        for public in ("set_pag_applied_layers", "pag_attn_processors", "pag_applied_layers"):
            assert hasattr(ours, public)
        default = inspect.signature(theirs.__init__).parameters["pag_applied_layers"].default
        assert ours.init_parameters()["pag_applied_layers"].default == default
