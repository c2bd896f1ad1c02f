"""Prompts that a language model reads, on a toy of one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from autopipe.errors import ArgumentError, ArgumentTypeError, ConfigError
from autopipe_components.steps.chats import ChatPrompts, encode_chats


class Letters:
    """A token for each letter; the rest is 0, as padding is."""

    chat_template = "a chat"
    padding_side = "right"

    def apply_chat_template(self, messages, **how):
        self.how = how
        return "".join(f"{one['role'][0]}:{one['content']}." for one in messages)

    def __call__(self, texts, max_length=None, verbose=True, **how):
        if isinstance(texts, str):
            return SimpleNamespace(input_ids=[*map(ord, texts)])
        ids = torch.zeros(len(texts), max_length, dtype=torch.long)
        for row, text in zip(ids, texts):
            kept = [*map(ord, text[:max_length])]
            place = slice(-len(kept), None) if self.padding_side == "left" else slice(len(kept))
            row[place] = torch.tensor(kept)
        return SimpleNamespace(input_ids=ids, attention_mask=(ids > 0).long())

    def decode(self, ids):
        return "".join(map(chr, ids))


class Model:
    """Its hidden states are the number of the layer and the token."""

    def __init__(self):
        self.shapes = []

    def __call__(self, input_ids, attention_mask, **how):
        self.shapes.append(tuple(input_ids.shape))
        assert attention_mask.dtype == torch.bool
        states = [
            torch.stack([torch.full_like(input_ids, n), input_ids], dim=-1).float()
            for n in range(4)
        ]
        return SimpleNamespace(hidden_states=states)


def letters(embeds):
    return "".join(chr(int(one)) for one in embeds[:, 1])


@pytest.mark.parametrize("side", ["right", "left"])
def test_texts_are_chats_and_keep_their_lengths(side):
    tokenizer, model = Letters(), Model()
    tokenizer.padding_side = side
    options = {"device": "cpu", "length": 20, "layer": -2, "thinks": True}
    found = encode_chats(tokenizer, model, ["cat", "a", "cat"], **options)
    assert [*map(letters, found)] == ["u:cat.", "u:a.", "u:cat."]
    assert all((one[:, 0] == 2).all() for one in found)
    assert tokenizer.how == {"tokenize": False, "add_generation_prompt": True, "thinks": True}
    # The same text is read once, and padding after all texts not at all.
    assert model.shapes == [(2, 6 if side == "right" else 20)]


def test_a_long_text_is_cut_off():
    (found,) = encode_chats(Letters(), Model(), ["abcdef"], device="cpu", length=5)
    assert letters(found) == "u:abc"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chat_template": None}, "no chat template"),
        ({"pad_token_id": None}, "no pad_token"),
        ({"model_input_names": ["input_ids"]}, "no attention_mask"),
    ],
)
def test_a_tokenizer_that_makes_no_chats_is_refused(changes, message):
    tokenizer = Letters()
    vars(tokenizer).update(changes)
    with pytest.raises(ArgumentError, match=message):
        encode_chats(tokenizer, Model(), ["a"], device="cpu", length=5)


def test_a_template_that_fails_is_told():
    tokenizer = Letters()
    tokenizer.apply_chat_template = lambda *args, **how: {}["role"]
    with pytest.raises(ConfigError, match=r"template of the tokenizer fails \(KeyError"):
        encode_chats(tokenizer, Model(), ["a"], device="cpu", length=5)
    tokenizer.apply_chat_template = lambda *args, **how: ""
    with pytest.raises(ConfigError, match="makes nothing"):
        encode_chats(tokenizer, Model(), ["a"], device="cpu", length=5)


EMBEDS = [torch.zeros(3, 2), torch.ones(5, 2)]


def encode(texts):
    return [torch.full((len(text) + 1, 2), 7.0) for text in texts]


def test_prompts_are_encoded_unless_embeddings_are_given():
    prompts = ChatPrompts(["cat", "a"], "dog")
    assert prompts.check(2) == 2
    positive, negative = prompts.embed(encode, guided=True)
    assert [*map(len, positive)] == [4, 2]
    assert [*map(len, negative)] == [4, 4]
    assert prompts.encodes(guided=False)
    given = ChatPrompts(prompt_embeds=EMBEDS)
    assert given.encodes(guided=True)
    assert not given.encodes(guided=False)
    positive, negative = given.embed(encode, guided=True)
    assert [*map(len, positive)] == [3, 5]
    # The negative prompt is an empty text by default.
    assert [*map(len, negative)] == [1, 1]
    assert given.embed(encode, guided=False)[1] == []
    batch = ChatPrompts(prompt_embeds=torch.zeros(2, 4, 3), negative_prompt_embeds=EMBEDS)
    assert batch.check() == 2
    assert [*map(len, batch.embed(encode, guided=True)[0])] == [4, 4]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, ArgumentError, "neither"),
        ({"prompt": 5}, ArgumentTypeError, "give a text"),
        ({"prompt": "a", "prompt_embeds": EMBEDS}, ArgumentError, "both prompt and"),
        (
            {"prompt": "a", "negative_prompt": "b", "negative_prompt_embeds": EMBEDS[:1]},
            ArgumentError,
            "both negative_prompt and",
        ),
        ({"prompt": "a", "negative_prompt": ["b", "c"]}, ArgumentError, "2 negative prompts"),
        ({"prompt": "a", "negative_prompt_embeds": EMBEDS}, ArgumentError, "for 1 prompts"),
        ({"prompt_embeds": torch.zeros(3, 2)}, ArgumentTypeError, "give a list"),
        ({"prompt_embeds": 5}, ArgumentTypeError, "give a list"),
        ({"prompt_embeds": []}, ArgumentError, "empty"),
        ({"prompt_embeds": ["a"]}, ArgumentTypeError, "a tensor of numbers"),
        ({"prompt_embeds": [torch.zeros(3, 2).long()]}, ArgumentTypeError, "tensor of numbers"),
        ({"prompt_embeds": [torch.zeros(0, 2)]}, ArgumentError, "none of length 0"),
        ({"prompt_embeds": [torch.zeros(1, 3, 2)]}, ArgumentError, "two axes"),
        ({"prompt_embeds": [torch.zeros(3, 4)]}, ArgumentError, "4 wide"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_wrong_prompts_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        ChatPrompts(**given).check(2)
