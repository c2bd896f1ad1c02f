from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.pictures import picture

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.processing.clip_image_processor import CLIPImageProcessor
from autopipe_components.steps.seen import seen_pixels

SIDE = 8
PROCESSOR = CLIPImageProcessor(
    size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
)


class Pipe:
    image_encoder: Any = SimpleNamespace(config=SimpleNamespace(image_size=SIDE))
    feature_extractor: Any = PROCESSOR

    @classmethod
    def module_names(cls) -> tuple[str, ...]:
        return "image_encoder", "feature_extractor"


def test_tensors_need_no_feature_extractor() -> None:
    pipe = Pipe()
    seen = seen_pixels(pipe, picture())
    assert seen.shape == (1, 3, SIDE, SIDE)
    pipe.feature_extractor = None
    assert torch.equal(seen_pixels(pipe, [seen[0]]), seen)
    with pytest.raises(ArgumentError, match="has no feature_extractor"):
        seen_pixels(pipe, picture())
    pipe.image_encoder = None
    with pytest.raises(ArgumentError, match="has no image_encoder"):
        seen_pixels(pipe, seen)


def test_messages_name_the_argument() -> None:
    with pytest.raises(ArgumentError, match=r"^sketch has tensors .* 8, 8\)"):
        seen_pixels(Pipe(), torch.ones(1, 3, 5, 5), "sketch")
    with pytest.raises(ArgumentTypeError, match=r"^sketch is made of str"):
        seen_pixels(Pipe(), "a.png", "sketch")  # type: ignore[arg-type]
