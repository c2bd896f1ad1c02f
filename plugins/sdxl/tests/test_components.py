"""Calls without a component that they don't need, and with components of several dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from support.components import check_dtypes, needed_of
from support.tiny import TOKENS, WIDTH

SOURCE = torch.Generator().manual_seed(0)
EMBEDS = torch.randn(1, TOKENS, 2 * WIDTH, generator=SOURCE)
POOLED = torch.randn(1, 10, generator=SOURCE)
LATENTS = torch.randn(1, 4, 8, 8, generator=SOURCE)
LEAN: dict[str, Any] = {
    "prompt": None,
    "prompt_embeds": EMBEDS,
    "negative_prompt_embeds": -EMBEDS,
    "pooled_prompt_embeds": POOLED,
    "negative_pooled_prompt_embeds": -POOLED,
    "output_type": "latent",
}


def test_texts_and_pixels_need_what_reads_and_makes_them(
    build: Callable[..., Any], task: Any
) -> None:
    needed = {"vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"}
    call = {**task.call, "prompt": "a cat"}
    assert needed_of(task.kind, build, call) == {*needed, "unet", "scheduler"}


def test_embeddings_and_latents_need_neither(build: Callable[..., Any], task: Any) -> None:
    call = {**task.call, **LEAN}
    if "image" in call:
        call["image"] = LATENTS
    assert needed_of(task.kind, build, call) == {"unet", "scheduler"}


def test_networks_of_several_dtypes(build: Callable[..., Any], task: Any) -> None:
    assert check_dtypes(task.kind, build, {**task.call, "prompt": "a cat"}) == 4
