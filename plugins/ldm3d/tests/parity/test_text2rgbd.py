"""The call against diffusers, seed for seed.

What diffusers makes of the depth is unusable: its arrays are cut to whole numbers, its pictures
lack the high byte. So its decoded channels are compared, before they are converted.
"""

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
from autopipe import StableDiffusionLDM3DPipeline

pytestmark = pytest.mark.parity

EMBEDS = torch.randn(2, 1, 12, 16, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def compare(
    build: Callable[..., Any], reference: Callable[[Any], Any], record: Callable[..., float]
) -> Callable[..., Any]:
    """Makes one call in both libraries, and returns the colours here."""

    def run(*, seed: Any = 0, components: dict[str, Any] | None = None, **call: Any) -> Any:
        call = {"prompt": "a cat", "num_inference_steps": 3, **call}
        ours = build(**(components or {}))
        theirs = reference(ours)
        found = ours(generator=generators(seed), output_type="np", **call)
        decoded: list[torch.Tensor] = []
        usual = theirs.image_processor.postprocess

        def watched(image: torch.Tensor, **options: Any) -> Any:
            decoded.append((image / 2 + 0.5).clamp(0, 1))
            return usual(image, **options)

        theirs.image_processor.postprocess = watched
        expected = theirs(generator=generators(seed), output_type="np", **call)
        assert list(found) == list(expected)
        assert record("rgb", found.rgb, expected.rgb) < TOLERANCE
        bytes_of = (decoded[0][:, 4:] * 255).round().numpy()
        exact = (bytes_of[:, 0] * 256 + bytes_of[:, 1]) / 65535
        # Roundings to whole bytes may fall to either side, of the low byte or of the high one.
        same = np.abs(found.depth - exact) < 1e-6
        assert same.mean() > 0.98
        return found.rgb

    return run


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"prompt": ["a cat", "a red dog"], "negative_prompt": ["dog", ""], "seed": [4, 5]},
        {"num_images_per_prompt": 2, "guidance_rescale": 0.7},
        {"guidance_scale": 1.0, "height": 24, "width": 16},
        {"height": 24},
        {"prompt": None, "prompt_embeds": EMBEDS[0], "negative_prompt_embeds": EMBEDS[1]},
        {"latents": torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))},
        {"seed": None},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    compare(**call)


def test_every_scheduler(compare: Callable[..., Any], any_scheduler: Any) -> None:
    compare(num_inference_steps=4, components={"scheduler": any_scheduler})


def test_kinds_of_errors(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build()
    call = {"prompt": "a cat", "num_inference_steps": 4, "output_type": "np"}
    assert_same_kinds(ours, reference(ours), call)


def test_folders_in_both_directions(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    saved_alike: Callable[[Any, Any], None],
    record: Callable[..., float],
    tmp_path: Path,
) -> None:
    import diffusers

    ours = build()
    theirs = reference(ours)
    saved_alike(ours, theirs)
    (tmp_path / "there").mkdir()
    theirs.save_pretrained(tmp_path / "there")
    here = autopipe.DiffusionPipeline.from_pretrained(tmp_path / "there")
    assert type(here) is StableDiffusionLDM3DPipeline
    ours.save_pretrained(tmp_path / "here")
    there = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "here", safety_checker=None)
    call = {"prompt": "a cat", "num_inference_steps": 2, "output_type": "np"}
    found, expected = (
        pipe(**call, generator=torch.Generator().manual_seed(0)).rgb for pipe in (here, there)
    )
    assert record("folders", found, expected) < TOLERANCE
