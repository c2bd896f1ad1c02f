"""Prompts for several encoders, with embeddings and pooled ones."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.steps.pooled import (
    PooledPrompts,
    PromptArguments,
    check_pooled_prompts,
    encode_both,
    encode_pooled,
    encode_states,
)

EMBEDS, POOLED = torch.zeros(2, 5, 8), torch.zeros(2, 3)
NAMES = [
    f"{sign}{name}"
    for sign in ("", "negative_")
    for name in ("prompt", "prompt_2", "prompt_3", "prompt_embeds", "pooled_prompt_embeds")
]


def given(**changes):
    return {**dict.fromkeys(NAMES), "prompt": ["a", "b"], **changes}


def test_further_encoders_have_the_first_text_by_default():
    found = PooledPrompts.of(given(prompt_3="c"), encoders=3).spread()
    assert found == [["a", "b"], ["a", "b"], ["c", "c"]]
    negative = PooledPrompts.of(given(negative_prompt_2=["x", "y"]), "negative_").spread()
    assert negative == [["", ""], ["x", "y"]]


def test_a_call_need_not_take_all_prompts():
    call = {"prompt": "a", "negative_prompt_2": "b", "height": 64}
    found = vars(PromptArguments.of(call))
    assert {name: one for name, one in found.items() if one is not None} == {
        "prompt": "a",
        "negative_prompt_2": "b",
    }
    assert set(found) == set(NAMES)


def test_a_prompt_is_given_as_a_text_for_the_first_encoder_or_as_embeddings():
    assert PooledPrompts.of(given()).is_given
    assert PooledPrompts.of(given(negative_prompt_embeds=EMBEDS), "negative_").is_given
    assert not PooledPrompts.of(given(negative_prompt_2="a"), "negative_").is_given


def test_the_number_of_prompts():
    assert check_pooled_prompts(given()) == 2
    both = given(prompt=None, prompt_embeds=EMBEDS, pooled_prompt_embeds=POOLED)
    assert check_pooled_prompts(both, 3, 8, 3) == 2


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"prompt": None}, ArgumentError, "neither prompt nor"),
        ({"prompt_2": 5}, ArgumentTypeError, "prompt_2"),
        ({"prompt_2": ["a"]}, ArgumentError, "prompt_2 has 1 entries for 2 prompts"),
        ({"negative_prompt": ["a"]}, ArgumentError, "negative_prompt has 1 entries"),
        ({"negative_prompt_embeds": EMBEDS}, ArgumentError, "need negative_pooled"),
        ({"pooled_prompt_embeds": POOLED[0]}, ArgumentError, "two axes"),
        ({"pooled_prompt_embeds": POOLED[:1]}, ArgumentError, "has 1 entries"),
        ({"pooled_prompt_embeds": POOLED.long()}, ArgumentTypeError, "floating-point"),
        ({"negative_prompt_embeds": EMBEDS.long()}, ArgumentTypeError, "floating-point"),
        ({"pooled_prompt_embeds": 5}, ArgumentTypeError, "pooled_prompt_embeds"),
        ({"pooled_prompt_embeds": POOLED[:, 1:]}, ArgumentError, "2 wide"),
        (
            {
                "negative_prompt_2": "a",
                "negative_prompt_embeds": EMBEDS,
                "negative_pooled_prompt_embeds": POOLED,
            },
            ArgumentError,
            "both negative_prompt_2",
        ),
        (
            {
                "negative_prompt_embeds": EMBEDS[..., 1:],
                "negative_pooled_prompt_embeds": POOLED,
            },
            ArgumentError,
            "7 wide",
        ),
    ],
)
def test_prompts_that_do_not_fit(changes, kind, said):
    with pytest.raises(kind, match=said):
        check_pooled_prompts(given(**changes), 2, 8, 3)


class Tokenizer:
    """Tokens are letters."""

    pad_token_id = 0

    def __call__(self, texts, max_length, **options):
        rows = [[ord(one) for one in text][:max_length] for text in texts]
        full = torch.tensor([row + [0] * (max_length - len(row)) for row in rows])
        return SimpleNamespace(input_ids=full, attention_mask=(full > 0).long())


class Encoder:
    """States are the tokens, and one more for each layer."""

    def __init__(self):
        self.rows = []

    def __call__(self, ids, output_hidden_states=False):
        self.rows.append(len(ids))
        states = [ids[..., None] + layer for layer in range(4)]
        pooled = ids.sum(1, keepdim=True)
        if not output_hidden_states:
            return (states[-1],)
        output = SimpleNamespace(hidden_states=states)
        return type("Output", (), {**vars(output), "__getitem__": lambda self, n: (pooled,)[n]})()


def test_equal_texts_are_encoded_once():
    encoder = Encoder()
    states = encode_states(Tokenizer(), encoder, ["ab", "c", "ab"], device="cpu", length=4)
    assert states.squeeze(-1).tolist() == [[100, 101, 3, 3], [102, 3, 3, 3], [100, 101, 3, 3]]
    assert encoder.rows == [2]


def test_vectors_of_a_tokenizer_without_a_limit():
    class Pooling:
        config = SimpleNamespace(max_position_embeddings=3)

        def __call__(self, ids):
            return SimpleNamespace(pooler_output=ids.sum(1, keepdim=True), ids=ids)

    class Endless(Tokenizer):
        model_max_length = int(1e30)

    texts = ["ab", "c", "ab"]
    assert encode_pooled(Endless(), Pooling(), texts, device="cpu").tolist() == [[195], [99], [195]]


@pytest.mark.parametrize(("skip", "layer"), [(None, 2), (0, 2), (1, 1)])
def test_states_before_the_last_layer(skip, layer):
    states, pooled = encode_both(
        Tokenizer(), Encoder(), ["ab", "ab"], device="cpu", length=3, clip_skip=skip
    )
    assert states.squeeze(-1).tolist() == [[97 + layer, 98 + layer, layer]] * 2
    assert pooled.tolist() == [[195]] * 2
