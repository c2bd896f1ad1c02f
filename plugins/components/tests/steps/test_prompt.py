from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_components.steps.prompt import (
    check_clip_skip,
    check_encoder,
    check_halves,
    check_texts,
    distinct_texts,
    embed_prompts,
    expanded,
    join_halves,
    lengthened,
    tokenize,
)
from autopipe_components.steps.tokens import Tokens, hiding_mask


class Letters:
    """A token for each letter, between 1 and 2, padded with 0."""

    def __call__(self, text, max_length=None, verbose=True, **how):
        if isinstance(text, str):
            return SimpleNamespace(input_ids=[1, *map(ord, text), 2])
        ids = torch.zeros(len(text), max_length, dtype=torch.long)
        for row, one in zip(ids, text):
            whole = self(one).input_ids
            kept = [*whole[: max_length - 1], 2] if len(whole) > max_length else whole
            row[: len(kept)] = torch.tensor(kept)
        return SimpleNamespace(input_ids=ids, attention_mask=(ids > 0).long())

    def decode(self, ids):
        return "".join(map(chr, ids))


def test_each_text_once():
    assert distinct_texts(["a", "b", "a"]) == (["a", "b"], [0, 1, 0])


def test_what_is_cut_off_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        ids, mask = tokenize(Letters(), ["abcdef", "ab"], 5)
    assert ids.tolist() == [[1, 97, 98, 99, 2], [1, 97, 98, 2, 0]]
    assert mask.tolist() == [[1] * 5, [1, 1, 1, 1, 0]]
    assert [record.getMessage() for record in caplog.records] == [
        "the text encoder takes 5 tokens; this part of the prompt was cut off: 'def'"
    ]


def test_of_a_very_long_text_the_beginning_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        tokenize(Letters(), ["x" * 100_000 + "\x1b"], 5)
        tokenize(Letters(), ["abc\x1b[31m\u202e"], 5)
    long, hostile = (record.getMessage() for record in caplog.records)
    assert long.endswith("cut off: '" + "x" * 80 + "'")
    assert "\x1b" not in hostile


def test_a_text_that_just_fits_is_not_cut(caplog):
    with caplog.at_level(logging.WARNING):
        tokenize(Letters(), ["abc"], 5)
    assert not caplog.records


def test_layers_to_leave_out():
    for fine in (None, 0, 3):
        check_clip_skip(fine, 3)
    for wrong in (-1, 4):
        with pytest.raises(ArgumentError, match="0 to 3"):
            check_clip_skip(wrong, 3)
    for wrong in ("1", True, 1.0):
        with pytest.raises(ArgumentTypeError, match="whole number"):
            check_clip_skip(wrong, 3)


def test_an_encoder_needs_its_tokenizer():
    check_encoder(object(), object())
    for pair in ((None, object()), (object(), None)):
        with pytest.raises(ArgumentError, match="give prompt_embeds"):
            check_encoder(*pair)


def encode(texts, length):
    """The number of letters, in each of `length` or two tokens, each three wide."""
    return (
        torch.tensor([float(len(text)) for text in texts])
        .reshape(-1, 1, 1)
        .repeat(1, length or 2, 3)
    )


def embed(prompt=None, negative=None, embeds=None, negative_embeds=None, **options):
    how = {"guided": True, "num_images_per_prompt": 1, "device": "cpu", "dtype": torch.float32}
    return embed_prompts(encode, prompt, negative, embeds, negative_embeds, **{**how, **options})


def test_prompts_and_negative_prompts_are_repeated_one_by_one():
    embeds, negative = embed(["a", "bbb"], ["cc", ""], num_images_per_prompt=2)
    assert embeds.shape == negative.shape == (4, 2, 3)
    assert embeds[:, 0, 0].tolist() == [1, 1, 3, 3]
    assert negative[:, 0, 0].tolist() == [2, 2, 0, 0]


def test_one_negative_text_for_given_embeddings_gets_their_length():
    embeds, negative = embed(embeds=torch.ones(2, 5, 3), negative="four", dtype=torch.float64)
    assert negative.shape == embeds.shape == (2, 5, 3)
    assert negative.dtype == embeds.dtype == torch.float64
    assert torch.equal(negative, torch.full_like(negative, 4))


def test_without_guidance_negative_prompts_are_left_alone():
    given = torch.zeros(1, 2, 3)
    assert embed("a", "b", guided=False)[1] is None
    assert embed("a", negative_embeds=given, guided=False)[1] is given


def test_halves_of_one_shape():
    joined = join_halves(torch.ones(1, 2, 3), torch.zeros(1, 2, 3))
    assert joined[:, 0, 0].tolist() == [0, 1]
    with pytest.raises(ArgumentError, match="the same shape"):
        join_halves(torch.ones(1, 2, 3), torch.zeros(1, 3, 3))


def test_many_texts_are_told_apart_at_once():
    texts = [str(i % 50_000) for i in range(100_000)]
    distinct, places = distinct_texts(texts)
    assert [distinct[place] for place in places] == texts


class Counted(Letters):
    """Remembers the longest text that it read; white space is no token."""

    longest = 0

    def __call__(self, text, **how):
        for one in [text] if isinstance(text, str) else text:
            self.longest = max(self.longest, len(one))
        squeezed = "".join(text.split()) if isinstance(text, str) else text
        return super().__call__(squeezed, **how)


def test_of_an_endless_text_only_the_beginning_is_read(caplog):
    tokenizer = Counted()
    ids, mask = tokenize(tokenizer, ["ab " * 1_000_000, "ab " * 1_000_000], 5)
    assert ids.tolist() == [[1, *map(ord, "aba"), 2]] * 2
    assert mask.all()
    assert tokenizer.longest <= 1000
    (message, other) = [record.message for record in caplog.records]
    assert message == other
    assert message.endswith(f"cut off: '{'ba' * 40}'")


def test_what_comes_after_much_white_space_is_read():
    ids, _ = tokenize(Counted(), [" " * 100_000 + "abcdef"], 5)
    assert ids.tolist() == [[1, *map(ord, "abc"), 2]]


class Words:
    """A tokenizer whose tokens are words; those with `<` were added."""

    added_tokens_encoder = dict.fromkeys(
        ["<a>", "<a>_1", "<a>_2", "<b>", "<b>_2", "<\\1>", "<\\1>_1"]
    )

    def tokenize(self, text):
        return text.lower().split()


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("x <a> y <a>", "x <a> <a>_1 <a>_2 y <a> <a>_1 <a>_2"),
        ("<b> <A>", "<b> <A>"),
        ("<a> <a>_1 <a>_2", "<a> <a>_1 <a>_2"),
        ("<a>_1 <a>", "<a>_1 <a> <a>_1 <a>_2"),
        ("<\\1>", "<\\1> <\\1>_1"),
    ],
)
def test_tokens_of_several_vectors_are_followed_by_the_others(text, whole):
    assert expanded(text, Words()) == whole
    assert expanded(whole, Words()) == whole


def test_tokens_stand_for_texts(caplog):
    letters = Letters()
    letters.pad_token_id = 0
    given = [Tokens((1, 7, 8, 2), frozenset({2})), "ab", Tokens((1, 2))]
    with caplog.at_level(logging.WARNING):
        ids, mask = tokenize(letters, given, 5)
    assert ids.tolist() == [[1, 7, 8, 2, 0], [1, 97, 98, 2, 0], [1, 2, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 0, 1, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 0]]
    assert not caplog.records
    only, _ = tokenize(letters, given[:1], 4)
    assert only.tolist() == [[1, 7, 8, 2]]
    assert distinct_texts([given[0], "ab", Tokens((1, 7, 8, 2), frozenset({2}))])[1] == [0, 1, 0]
    with pytest.raises(ArgumentError, match="4 tokens for a text encoder that takes 3"):
        tokenize(letters, given, 3)


def test_only_hidden_tokens_need_a_mask():
    given = [Tokens((1, 7, 8, 2), frozenset({2, 4})), "ab"]
    assert hiding_mask(given, 5).tolist() == [[1, 1, 0, 1, 0], [1, 1, 1, 1, 1]]
    assert hiding_mask(["ab", Tokens((1, 2))], 5) is None


def test_short_embeddings_are_continued_by_those_of_the_empty_text():
    empty = torch.tensor([[[8.0], [9.0]]])
    rows = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
    found = lengthened(rows, 5, lambda: empty)
    assert found[..., 0].tolist() == [[1, 2, 8, 9, 8], [3, 4, 8, 9, 8]]
    assert lengthened(rows, 2, lambda: pytest.fail("it was encoded")) is rows


@pytest.mark.parametrize(("prompt", "negative"), [("ab", "abcdef"), ("abcdef", "ab")])
def test_prompt_and_negative_prompt_get_one_length(prompt, negative):
    def encode(texts, length):
        """Encode a chunk of two for each two letters, or up to `length`."""
        longest = max([length or 2, *map(len, texts)])
        return torch.tensor([[[float(i < len(t))] for i in range(longest)] for t in texts])

    found = embed_prompts(
        encode, prompt, negative, None, None,
        guided=True, num_images_per_prompt=1, device="cpu", dtype=None,
    )  # fmt: skip
    for text, embeds in zip((prompt, negative), found):
        assert embeds[0, :, 0].tolist() == [1.0] * len(text) + [0.0] * (6 - len(text))


NETWORK = SimpleNamespace(encoder_hid_dim=None, cross_attention_dim=8)


def texts(**given):
    return {
        **dict.fromkeys(("prompt", "prompt_embeds", "negative_prompt", "negative_prompt_embeds")),
        **given,
    }


def test_the_texts_of_a_call():
    embeds = torch.ones(3, 5, 8)
    assert check_texts(texts(prompt="a"), NETWORK) == 1
    assert check_texts(texts(prompt=["a", "b"], negative_prompt="c"), NETWORK) == 2
    assert check_texts(texts(prompt_embeds=embeds), NETWORK) == 3
    with pytest.raises(ArgumentError, match="got both prompt and prompt_embeds"):
        check_texts(texts(prompt="a", prompt_embeds=embeds), NETWORK)
    narrow = torch.ones(3, 5, 7)
    with pytest.raises(ArgumentError, match=r"^prompt_embeds"):
        check_texts(texts(prompt_embeds=narrow), NETWORK)
    with pytest.raises(ArgumentError, match=r"^negative_prompt_embeds"):
        check_texts(texts(prompt="a", negative_prompt_embeds=narrow), NETWORK)
    projected = SimpleNamespace(encoder_hid_dim=7, cross_attention_dim=8)
    assert check_texts(texts(prompt_embeds=torch.ones(1, 5, 7)), projected) == 1


def test_what_guidance_needs_of_texts():
    embeds = torch.ones(1, 5, 8)
    both = texts(prompt_embeds=embeds, negative_prompt_embeds=embeds)
    assert not check_halves(both, None, None, guided=True)
    assert not check_halves(texts(prompt_embeds=embeds), None, None, guided=False)
    assert check_halves(texts(prompt="a"), object(), object(), guided=False)
    for call, guided in ((texts(prompt_embeds=embeds), True), (texts(prompt="a"), False)):
        with pytest.raises(ArgumentError, match="no text encoder"):
            check_halves(call, None, None, guided=guided)
    unequal = texts(prompt=["a", "b"], negative_prompt=["c"])
    assert check_halves(unequal, object(), object(), guided=False)
    with pytest.raises(ArgumentError, match="1 negative prompts for 2 prompts"):
        check_halves(unequal, object(), object(), guided=True)
