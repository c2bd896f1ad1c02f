"""Calls without a component that they don't need, and with components of several dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.components import check_dtypes, needed_of
from support.tiny import TOKENS, WIDTH

from autopipe.errors import ArgumentError

EMBEDS = torch.randn(1, TOKENS, WIDTH, generator=torch.Generator().manual_seed(0))
LEAN: dict[str, Any] = {
    "prompt": None,
    "prompt_embeds": EMBEDS,
    "negative_prompt_embeds": -EMBEDS,
    "output_type": "latent",
}


def test_texts_and_pixels_need_what_reads_and_makes_them(
    build: Callable[..., Any], task: Any
) -> None:
    assert needed_of(task.kind, build, task.call) == {
        "vae",
        "text_encoder",
        "tokenizer",
        "unet",
        "scheduler",
    }


def test_embeddings_and_latents_need_neither(build: Callable[..., Any], task: Any) -> None:
    call = {**task.call, **LEAN}
    if "image" in call:
        call["image"] = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    needed = needed_of(task.kind, build, call)
    assert needed == {"unet", "scheduler"}


def test_latents_without_an_autoencoder(build: Callable[..., Any], task: Any) -> None:
    call = {**task.call, "output_type": "latent"}
    if "image" in call:
        call["image"] = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    if "Img2Img" not in task.kind.__name__:
        # Without an autoencoder a latent cell is 8 pixels wide.
        call |= {"height": 64, "width": 64}
    pipe = build(task.kind, vae=None)
    found = pipe(**call, generator=torch.Generator().manual_seed(0)).images
    assert found.shape == (1, 4, 8, 8)


@pytest.mark.usefixtures("idle")
def test_what_an_autoencoder_would_have_to_do_is_refused(
    build: Callable[..., Any], task: Any
) -> None:
    pipe = build(task.kind, vae=None)
    with pytest.raises(ArgumentError, match="no vae"):
        pipe(**task.call)
    if "image" in task.call:
        with pytest.raises(ArgumentError, match="no vae"):
            pipe(**{**task.call, "output_type": "latent"})
    with pytest.raises(ArgumentError, match="no vae"):
        pipe.enable_vae_tiling()


def test_networks_of_several_dtypes(
    build: Callable[..., Any],
    task: Any,
    checkers: Callable[[float], Any],
    feature_extractor: Any,
) -> None:
    seen = {"safety_checker": checkers(2.0), "feature_extractor": feature_extractor}

    def whole(kind: Any, **changes: Any) -> Any:
        return build(kind, **{**seen, **changes})

    assert check_dtypes(task.kind, whole, task.call) == 4


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.zeros(1, 4, 4, 4), r"\(1, 4, 4, 4\).*\(1, 4, 8, 8\).*\(1, 3, 16, 16\)"),
        (torch.zeros(4, 8, 8), r"\(4, 8, 8\)"),
        (torch.zeros(2, 4, 8, 8), "2 masked_image_latents"),
        (torch.zeros(1, 4, 8, 8).to_sparse(), "sparse"),
        ([1], "masked_image_latents is a list"),
    ],
)
def test_masked_latents_that_show_something_else(
    build: Callable[..., Any], task: Any, given: Any, said: str
) -> None:
    if "mask_image" not in task.call:
        pytest.skip("takes no mask")
    with pytest.raises(ArgumentError, match=said):
        build(task.kind)(**task.call, masked_image_latents=given, height=16, width=16)
