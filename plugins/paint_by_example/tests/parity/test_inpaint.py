"""The call against diffusers, seed for seed, and folders in both directions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.bad_calls import assert_same_kinds
from support.pictures import mask, picture, tensor

import autopipe
from autopipe import PaintByExamplePipeline as Pipe

pytestmark = pytest.mark.parity

ENCODER = "PaintByExampleImageEncoder"
GIVEN: dict[str, Any] = {
    "example_image": picture(20, 28, seed=3),
    "image": picture(),
    "mask_image": mask(),
}


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"num_images_per_prompt": 2},
        {"num_images_per_prompt": 2, "seed": [4, 5]},
        {"guidance_scale": 1.0, "output_type": "pt"},
        {"output_type": "latent", "seed": None},
        {"image": picture(24, 16), "mask_image": mask(24, 16)},
        {
            "image": [picture(), picture(seed=2)],
            "mask_image": [mask(), mask()],
            "example_image": [picture(seed=3), picture(seed=4)],
            "seed": [1, 2],
        },
        {"image": tensor(picture()) * 2 - 1, "mask_image": tensor(mask())},
        {"example_image": torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))},
        {"latents": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))},
        {"negative_prompt": "ignored"},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(Pipe, **{**GIVEN, **call})


def test_parameters_change_the_image(compare: Callable[..., Any]) -> None:
    """Ignoring one of these would be seen."""
    plain = compare(Pipe, **GIVEN)
    for change in (
        {"example_image": picture(seed=5)},
        {"image": picture(seed=5)},
        {"mask_image": mask().rotate(90)},
        {"guidance_scale": 1.0},
    ):
        assert np.abs(compare(Pipe, **{**GIVEN, **change}) - plain).max() > 1e-3, change


def test_every_scheduler(compare: Callable[..., Any], any_scheduler: Any) -> None:
    components = {"scheduler": any_scheduler}
    compare(Pipe, num_inference_steps=4, components=components, **GIVEN)


def test_older_callbacks(compare: Callable[..., Any]) -> None:
    seen: list[Any] = []

    def look(step: int, timestep: Any, latents: Any) -> None:
        seen.append((step, int(timestep), tuple(latents.shape)))

    compare(Pipe, callback=look, callback_steps=2, num_inference_steps=4, **GIVEN)
    half = len(seen) // 2
    assert half > 1
    assert seen[:half] == seen[half:]


def test_kinds_of_errors(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build()
    assert_same_kinds(ours, reference(ours), {**GIVEN, "num_inference_steps": 4})


def test_each_library_opens_what_the_other_saves(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    tmp_path: Path,
) -> None:
    """The image encoder's class moved in diffusers 0.42, which finds it under no name.

    It takes the object itself only if the index names the library `deprecated`.
    """
    import diffusers
    from diffusers.pipelines.deprecated import paint_by_example

    def draw(pipe: Any) -> Any:
        pipe.set_progress_bar_config(disable=True)
        call = {"num_inference_steps": 3, "output_type": "np", **GIVEN}
        return pipe(**call, generator=torch.Generator().manual_seed(0)).images

    ours = build()
    theirs = reference(ours)
    expected = draw(theirs)
    ours.save_pretrained(tmp_path / "ours")
    encoder = getattr(paint_by_example, ENCODER).from_pretrained(
        tmp_path / "ours" / "image_encoder"
    )
    index = tmp_path / "ours" / "model_index.json"
    index.write_text(
        index.read_text("utf-8").replace('"paint_by_example"', '"deprecated"'), "utf-8"
    )
    there = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "ours", image_encoder=encoder)
    assert type(there) is type(theirs)
    assert record("saved here, loaded there", draw(there), expected) < 1e-4

    # What it has loaded, it saves with the config of a whole CLIP around its own.
    for pipe in (theirs, there):
        pipe.save_pretrained(tmp_path / "theirs")
        here = autopipe.DiffusionPipeline.from_pretrained(tmp_path / "theirs")
        assert type(here) is Pipe
        assert record("saved there, loaded here", draw(here), expected) < 1e-4
    saved = json.loads((tmp_path / "theirs" / "model_index.json").read_text("utf-8"))
    assert saved["image_encoder"] == ["diffusers", ENCODER]
    assert here.index()["image_encoder"] == ["paint_by_example", ENCODER]
    assert here.index().keys() == saved.keys() - {"_name_or_path"}
