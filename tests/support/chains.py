"""Comparisons of priors and combined pipelines with diffusers; families name their classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import autopipe

from .image_embeddings import DIM
from .parity import TOLERANCE, generators
from .pictures import mask, picture
from .record import parameters_of

SMALL = {"height": 16, "width": 16, "num_inference_steps": 3, "prior_num_inference_steps": 3}
OWN: dict[str, dict[str, Any]] = {
    "text2image": {},
    "image2image": {"image": picture(), "strength": 0.7},
    "inpaint": {"image": picture(), "mask_image": mask()},
}
"""Further arguments of a call for each task."""

_LEAST = {
    **SMALL,
    **OWN["inpaint"],
    "strength": 0.7,
    "prompt": "a cat",
    "image_embeds": torch.ones(1, DIM),
    "negative_image_embeds": torch.zeros(1, DIM),
    "hint": torch.ones(1, 3, 64, 64),
}


def least_call(kind: Any) -> dict[str, Any]:
    """Return the arguments of a small call of a prior, a decoder or both, by its signature."""
    return {name: value for name, value in _LEAST.items() if name in parameters_of(kind)}


LATENTS = torch.randn(2, DIM, generator=torch.Generator().manual_seed(5))


def cases(calls: list[dict[str, Any]]) -> Any:
    """Parametrize a test with calls; their ids are the names of their arguments."""
    return pytest.mark.parametrize("call", calls, ids=lambda call: ",".join(call) or "plain")


class PriorParity:
    """Compares a prior with diffusers by seed, with every parameter of a call."""

    pipe: ClassVar[Any]

    @cases(
        [
            {},
            {"prompt": ["a cat", "dog"]},
            {"prompt": ["a cat", "dog"], "negative_prompt": ["x", ""]},
            {"negative_prompt": "dog"},
            {"negative_prompt": ""},
            {"num_images_per_prompt": 2},
            {"num_images_per_prompt": 2, "seed": [1, 2]},
            {"num_images_per_prompt": 2, "negative_prompt": "dog"},
            {"seed": None},
            {"guidance_scale": 1.0},
            {"guidance_scale": 9},
            {"num_inference_steps": 2},
            {"latents": LATENTS, "negative_prompt": "dog"},
            {"output_type": "np"},
            {"prompt": "a prompt that is much longer than the few tokens that are read of it"},
        ]
    )
    def test_parameters(self, compare_embeds: Callable[..., Any], call: dict[str, Any]) -> None:
        compare_embeds(self.pipe, **{"prompt": "a cat", **call})

    @cases([{}, {"negative_prompt": "dog"}, {"negative_prior_prompt": "dog"}])
    def test_interpolate(self, compare_embeds: Callable[..., Any], call: dict[str, Any]) -> None:
        pixels = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        mixed = ["a cat", picture(), pixels]
        compare_embeds(self.pipe, mixed, [0.3, 0.5, 0.2], method="interpolate", **call)

    def test_parameters_change_the_embeddings(self, compare_embeds: Callable[..., Any]) -> None:
        """Check that the comparisons above compare different results."""
        plain = compare_embeds(self.pipe, "a cat")
        for call in ({"prompt": "a red dog"}, {"guidance_scale": 1.0}, {"seed": 1}):
            other = compare_embeds(self.pipe, **{"prompt": "a cat", **call})
            assert (plain.image_embeds - other.image_embeds).abs().max() > 1e-3, call
        away = compare_embeds(self.pipe, "a cat", negative_prompt="dog")
        assert (plain.negative_image_embeds - away.negative_image_embeds).abs().max() > 1e-3


class CombinedParity:
    """Compares combined pipelines with diffusers, and exchanges checkpoints in both directions."""

    kinds: ClassVar[dict[str, Any]]
    """The pipeline class of each task."""

    @pytest.mark.parametrize("task", OWN)
    @cases(
        [
            {},
            {"prompt": ["a cat", "dog"], "image": [picture(), picture(seed=2)]},
            {
                "prompt": ["a cat", "dog"],
                "num_images_per_prompt": 2,
                "image": [picture()],
                "mask_image": [mask()],
            },
            {"negative_prompt": "dog"},
            {"prior_guidance_scale": 1.0},
            {"guidance_scale": 2.0, "prior_guidance_scale": 2.0},
            {"seed": None},
        ]
    )
    def test_parameters(self, compare: Callable[..., Any], task: str, call: dict[str, Any]) -> None:
        own = OWN[task]
        call = {n: v for n, v in call.items() if n in own or n not in ("image", "mask_image")}
        if task == "inpaint" and "image" in call:
            # One image and mask for the batch, since diffusers only blends in the first.
            call |= {"image": [picture()], "mask_image": [mask()]}
        compare(self.kinds[task], **{**SMALL, **own, **call})

    def test_parameters_change_the_image(self, compare: Callable[..., Any]) -> None:
        """Check that the comparisons above compare different pictures."""
        kind = self.kinds["text2image"]
        plain = compare(kind, **SMALL)
        for call in (
            {"prompt": "a red dog"},
            {"prior_guidance_scale": 1.0},
            {"negative_prompt": "dog"},
        ):
            other = compare(kind, **{"prompt": "a cat", **SMALL, **call})
            assert np.abs(other - plain).max() > 10 * TOLERANCE, call

    @pytest.mark.parametrize("task", OWN)
    def test_checkpoints_both_ways(
        self,
        build: Callable[..., Any],
        reference: Callable[[Any], Any],
        record: Callable[..., float],
        folder: Path,
        task: str,
    ) -> None:
        import diffusers

        kind = self.kinds[task]
        ours = build(kind)
        theirs = reference(ours)
        ours.save_pretrained(folder / "ours")
        theirs.save_pretrained(folder / "theirs")

        def drawn() -> Iterator[Any]:
            for pipe in (
                ours,
                diffusers.DiffusionPipeline.from_pretrained(folder / "ours"),
                autopipe.DiffusionPipeline.from_pretrained(folder / "theirs"),
            ):
                pipe.set_progress_bar_config(disable=True)
                assert type(pipe).__name__ == kind.__name__
                call = {**SMALL, **OWN[task], "output_type": "np"}
                yield pipe("a cat", **call, generator=generators(0)).images

        expected, there, here = drawn()
        assert record("saved here, loaded there", expected, there) <= TOLERANCE
        assert record("saved there, loaded here", here, expected) <= TOLERANCE

    def test_the_prior_that_a_card_names(
        self, build: Callable[..., Any], folder: Path, record: Callable[..., float]
    ) -> None:
        import diffusers

        combined = build(self.kinds["text2image"])
        combined.prior_pipe.save_pretrained(folder / "prior")
        combined.decoder_pipe.save_pretrained(folder / "decoder")
        card = f"---\nprior:\n- {folder / 'prior'}\n---\n"
        (folder / "decoder" / "README.md").write_text(card, encoding="utf-8")
        drawn = []
        for library in (autopipe, diffusers):
            pipe = library.AutoPipelineForText2Image.from_pretrained(folder / "decoder")
            pipe.set_progress_bar_config(disable=True)
            assert type(pipe).__name__ == type(combined).__name__
            drawn.append(pipe("a cat", **SMALL, output_type="np", generator=generators(0)).images)
        assert record("opened by the card", *drawn) <= TOLERANCE
