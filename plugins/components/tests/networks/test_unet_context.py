from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.networks.unet_context import ContextProjection, make_context_projection


def of(kind: str | None, width: int | None = 5, target: Any = 4) -> ContextProjection | None:
    torch.manual_seed(0)
    return make_context_projection(
        {
            "encoder_hid_dim_type": kind,
            "encoder_hid_dim": width,
            "cross_attention_dim": target,
        }
    )


def test_without_a_width_there_is_none() -> None:
    assert of(None, None) is None


@pytest.mark.parametrize(
    ("kind", "prompt", "image", "tokens"),
    [
        (None, (2, 3, 5), None, 3),
        ("text_proj", (2, 3, 5), None, 3),
        ("text_image_proj", (2, 3, 5), (2, 4), 13),
        ("image_proj", None, (2, 5), 32),
    ],
)
def test_what_attention_takes(
    kind: str | None,
    prompt: tuple[int, ...] | None,
    image: tuple[int, ...] | None,
    tokens: int,
) -> None:
    projection = of(kind)
    assert projection is not None
    context = None if prompt is None else torch.randn(prompt)
    added = {} if image is None else {"image_embeds": torch.randn(image)}
    made = projection.project(context, added)
    assert made.shape == (2, tokens, 4)
    if context is not None:
        # The prompt's tokens are the last ones, each of them made of one alone.
        changed = projection.project(context + torch.tensor([0.0, 0.0, 1.0])[None, :, None], added)
        assert torch.equal(changed[:, :-1], made[:, :-1])
        assert not torch.equal(changed[:, -1], made[:, -1])
        with pytest.raises(ArgumentError, match="pass encoder_hidden_states"):
            projection.project(None, added)
    for name, value in added.items():
        assert not torch.equal(projection.project(context, {name: value + 1})[:, 0], made[:, 0])
        with pytest.raises(ArgumentError, match=f"'{kind}': pass '{name}'"):
            projection.project(context, {})
        with pytest.raises(ArgumentError, match=rf"{name} has shape \(2, 3\).*{kind}"):
            projection.project(context, {name: value[:, :3]})


@pytest.mark.parametrize(
    ("kind", "width", "target", "message"),
    [
        ("sound_proj", 5, 4, "encoder_hid_dim_type is 'sound_proj'"),
        ("image_proj", None, 4, "'image_proj' needs encoder_hid_dim"),
        ("text_proj", 5, (4, 4), "needs a single one"),
    ],
)
def test_what_contradicts_itself(kind: str, width: int, target: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        of(kind, width, target)
