"""Calls without a component that they don't need, and with components of several dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from support.components import check_dtypes, needed_of

from .conftest import WIDTH

EMBEDS = torch.randn(1, 77, WIDTH, generator=torch.Generator().manual_seed(0))


def test_needed_components(build: Callable[..., Any], task: Any) -> None:
    always = {"unet", "scheduler"} | ({"image_noising_scheduler"} if task.stage == 2 else set())
    texts = {**task.call, "prompt": "a cat"}
    assert needed_of(task.kind, build, texts) == {"tokenizer", "text_encoder", *always}
    embeds = {"prompt_embeds": EMBEDS, "negative_prompt_embeds": -EMBEDS}
    assert needed_of(task.kind, build, {**task.call, **embeds}) == always


def test_networks_of_several_dtypes(
    build: Callable[..., Any], task: Any, checkers: Callable[..., Any], feature_extractor: Any
) -> None:
    seen = {"safety_checker": checkers(), "feature_extractor": feature_extractor}

    def whole(kind: Any, **changes: Any) -> Any:
        return build(kind, **{**seen, **changes})

    call = {**task.call, "prompt": "a cat"}
    assert check_dtypes(task.kind, whole, call) == 3
