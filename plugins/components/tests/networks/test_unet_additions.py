from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ConfigError
from autopipe_components.networks.unet_additions import (
    AddedCondition,
    AttentionPooling,
    make_addition_embedding,
)

CONFIG = {
    "addition_time_embed_dim": 2,
    "projection_class_embeddings_input_dim": 3 + 6 * 2,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "cross_attention_dim": 4,
    "encoder_hid_dim": 6,
    "addition_embed_type_num_heads": 2,
}
ADDED: dict[str, dict[str, Tensor]] = {
    "text": {},
    "text_time": {"text_embeds": torch.randn(2, 3), "time_ids": torch.arange(12).reshape(2, 6)},
    "text_image": {"text_embeds": torch.randn(2, 4), "image_embeds": torch.randn(2, 4)},
    "image": {"image_embeds": torch.randn(2, 6)},
    "image_hint": {"image_embeds": torch.randn(2, 6), "hint": torch.randn(2, 3, 16, 24)},
}


def of(kind: str | None, **changes: Any) -> AddedCondition:
    torch.manual_seed(0)
    made = make_addition_embedding(
        {**CONFIG, "addition_embed_type": kind, **changes}, time_embed_dim=7
    )
    assert made is not None
    return made


def test_without_a_kind_there_is_none() -> None:
    config = {**CONFIG, "addition_embed_type": None}
    assert make_addition_embedding(config, time_embed_dim=7) is None


@pytest.mark.parametrize("kind", ADDED)
def test_each_condition_counts_and_is_named_when_it_is_missing(kind: str) -> None:
    condition, added = of(kind), ADDED[kind]
    context, sample = torch.randn(2, 5, 6), torch.randn(2, 4, 2, 3)

    def made(given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return condition.embed(context, given), condition.extend(sample, given)

    vector, extended = made(added)
    assert vector.shape == (2, 7)
    assert extended.shape == (2, 4 + condition.extra_channels, 2, 3)
    assert torch.equal(extended[:, :4], sample)
    for name in added:
        changed = made({**added, name: added[name] * 2 + 1})
        assert not all(map(torch.equal, changed, (vector, extended)))
        with pytest.raises(ArgumentError, match=f"'{kind}': pass '{name}'"):
            made({k: v for k, v in added.items() if k != name})


@pytest.mark.parametrize("name", ["text_embeds", "image_embeds"])
def test_embeddings_of_another_width_are_described(name: str) -> None:
    added = {**ADDED["text_image"], name: torch.zeros(2, 9)}
    with pytest.raises(ArgumentError, match=rf"{name} has shape \(2, 9\).*takes \(B, 4\)"):
        of("text_image").embed(None, added)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 1, 16, 24), r"takes 3 channels and was given 2 samples"),
        ((1, 3, 16, 24), r"takes 3 channels and was given 2 samples"),
        ((2, 3, 16, 25), r"features of \(2, 4\) and the sample is \(2, 3\)"),
    ],
)
def test_a_hint_that_does_not_fit_is_described(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        of("image_hint").extend(torch.zeros(2, 4, 2, 3), {"hint": torch.zeros(shape)})


def test_only_hints_add_channels() -> None:
    assert {kind: of(kind).extra_channels for kind in ADDED if of(kind).extra_channels} == {
        "image_hint": 4
    }


def test_text_is_that_of_the_prompt() -> None:
    condition, context = of("text"), torch.randn(2, 5, 6)
    assert not torch.equal(condition.embed(context, {}), condition.embed(-context, {}))
    with pytest.raises(ArgumentError, match=r"'text'.*pass encoder_hidden_states"):
        condition.embed(None, {})


def test_pooling_is_a_mean_where_all_tokens_look_alike() -> None:
    pool = AttentionPooling(6, heads=2)
    for parameter in pool.k_proj.parameters():
        nn.init.zeros_(parameter)
    tokens = torch.randn(2, 5, 6)
    first = tokens.mean(dim=1, keepdim=True) + pool.positional_embedding
    expected = pool.v_proj(torch.cat((first, tokens), dim=1)).mean(dim=1)
    torch.testing.assert_close(pool(tokens), expected)


def test_pooling_does_not_mind_the_order_of_tokens() -> None:
    pool, tokens = AttentionPooling(6, heads=3), torch.randn(2, 5, 6)
    torch.testing.assert_close(pool(tokens.flip(1)), pool(tokens))


def test_heads_of_pooling_look_at_tokens_of_their_own() -> None:
    torch.manual_seed(0)
    one, two = AttentionPooling(6, heads=1), AttentionPooling(6, heads=2)
    two.load_state_dict(one.state_dict())
    tokens = torch.randn(1, 5, 6)
    assert not torch.allclose(one(tokens), two(tokens))


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("sound", {}, "addition_embed_type is 'sound'.*'image_hint'"),
        ("text", {"addition_embed_type_num_heads": 4}, "num_heads is 4.*the width 6"),
        ("text", {"encoder_hid_dim": None, "cross_attention_dim": (4, 4)}, "a single one"),
        ("text_image", {"cross_attention_dim": (4, 4)}, "a single one"),
        ("image", {"encoder_hid_dim": None}, "'image' needs encoder_hid_dim"),
        ("image_hint", {"encoder_hid_dim": None}, "'image_hint' needs encoder_hid_dim"),
        ("text_time", {"addition_time_embed_dim": None}, "needs addition_time_embed_dim"),
        ("text_time", {"projection_class_embeddings_input_dim": None}, "needs projection_class"),
    ],
)
def test_what_contradicts_itself(kind: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        of(kind, **changes)
