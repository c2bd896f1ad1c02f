"""Loading and unloading tokens, one by one and in lists, for one text encoder and for two."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from autopipe.errors import ArgumentError, CheckpointError

Rows = Callable[..., torch.Tensor]
Draw = Callable[..., torch.Tensor]


def table(encoder: Any) -> torch.Tensor:
    found: torch.Tensor = encoder.get_input_embeddings().weight
    return found


def test_a_token_gets_the_next_ids_and_its_vectors(pipe: Any, rows: Rows) -> None:
    words = len(pipe.tokenizer)
    pipe.load_textual_inversion({"<cat>": rows(3)})
    pipe.load_textual_inversion({"<dog>": rows(1, seed=1)})
    names = ["<cat>", "<cat>_1", "<cat>_2", "<dog>"]
    assert len(pipe.tokenizer) == words + 4
    assert pipe.tokenizer.convert_tokens_to_ids(names) == [*range(words, words + 4)]
    assert pipe.text_encoder.get_input_embeddings().num_embeddings == words + 4
    assert torch.equal(table(pipe.text_encoder)[words:], torch.cat([rows(3), rows(1, seed=1)]))
    assert dict(pipe.attachments) == {"<cat>": 1, "<dog>": 1}
    # The components themselves have only their own.
    shared = pipe.components
    assert len(shared["tokenizer"]) == len(table(shared["text_encoder"])) == words


def test_the_token_is_read_by_its_vectors(pipe: Any, rows: Rows, draw: Draw) -> None:
    before = draw(pipe)
    embedding = pipe.text_encoder.get_input_embeddings().weight[5]
    pipe.load_textual_inversion(embedding.clone(), token="<cat>")
    letter = pipe.tokenizer.convert_ids_to_tokens(5)
    assert not torch.equal(draw(pipe), before)
    # The vector of a known word draws what that word draws.
    ids = pipe.tokenizer(["a <cat>", "a"], padding=True, return_tensors="pt").input_ids
    as_letter = torch.where(ids == pipe.tokenizer.convert_tokens_to_ids("<cat>"), 5, ids)
    assert letter is not None
    with torch.no_grad():
        found, expected = (pipe.text_encoder(one)[0] for one in (ids, as_letter))
    assert torch.equal(found, expected)


def test_prompts_have_all_vectors_of_a_token(pipe: Any, rows: Rows, draw: Draw) -> None:
    pipe.load_textual_inversion({"<cat>": rows(3)})
    whole = pipe.maybe_convert_prompt("a <cat> sat", pipe.tokenizer)
    assert whole == "a <cat> <cat>_1 <cat>_2 sat"
    assert torch.equal(draw(pipe, "a <cat> sat"), draw(pipe, whole))
    several = pipe.maybe_convert_prompt(["<cat>", "no token"], pipe.tokenizer)
    assert several == ["<cat> <cat>_1 <cat>_2", "no token"]


def test_expanding_is_for_the_exact_text(pipe: Any, rows: Rows) -> None:
    pipe.load_textual_inversion({r"<c\1>": rows(2)})
    for text in ("a <C\\1>", "a <c\\1> <c\\1>_1", "a <c\\1>_1", "nothing"):
        assert pipe.maybe_convert_prompt(text, pipe.tokenizer) == text
    assert pipe.maybe_convert_prompt("the<c\\1>s", pipe.tokenizer) == "the<c\\1> <c\\1>_1s"


def test_unloading_closes_the_gap(pipe: Any, rows: Rows, draw: Draw) -> None:
    words, tokenizer, before = len(pipe.tokenizer), pipe.tokenizer, draw(pipe)
    for number, token in enumerate(("<a>", "<b>", "<c>")):
        pipe.load_textual_inversion({token: rows(2, seed=number)})
    pipe.unload_textual_inversion("<b>")
    names = ["<a>", "<a>_1", "<c>", "<c>_1"]
    assert pipe.tokenizer.convert_tokens_to_ids(names) == [*range(words, words + 4)]
    assert torch.equal(table(pipe.text_encoder)[words + 2 :], rows(2, seed=2))
    with pytest.raises(
        ArgumentError, match=r"none of the tokens <b> to remove; attached: <a>, <c>"
    ):
        pipe.unload_textual_inversion(["<b>"])
    pipe.unload_textual_inversion(tokens=["<a>", "<c>"])
    assert pipe.tokenizer is tokenizer
    pipe.unload_textual_inversion()
    assert torch.equal(draw(pipe), before)


def test_lists_of_files_and_tokens(pipe: Any, rows: Rows, tmp_path: Path) -> None:
    save_file({"emb_params": rows(2)}, tmp_path / "one.safetensors")
    torch.save({"<two>": rows(1, seed=1)[0]}, tmp_path / "two.bin")
    files = [str(tmp_path / "one.safetensors"), tmp_path / "two.bin", {"<3>": rows()}]
    pipe.load_textual_inversion(files, token=["<one>", None, "<three>"])
    assert list(pipe.attachments) == ["<one>", "<two>", "<three>"]
    pipe.load_textual_inversion(rows(2), token=["<s0>", "<s1>"])
    assert torch.equal(table(pipe.text_encoder)[-2:], rows(2))
    assert pipe.maybe_convert_prompt("<s0> <s1>", pipe.tokenizer) == "<s0> <s1>"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda rows: ({"at</w>": rows()}, {}), "already in the vocabulary"),
        (lambda rows: (rows(), {"token": "<old>"}), "already in the vocabulary"),
        (lambda rows: (rows(width=7), {"token": "<a>"}), "have the width 7"),
        (lambda rows: ([rows(), rows()], {"token": ["<a>", "<a>"]}), "duplicates"),
        (lambda rows: ([{"<a>": rows()}, {"<a>": rows()}], {}), "the same token"),
        (lambda rows: ([rows(), rows()], {"token": ["<a>"]}), "2 files and 1 token"),
        (lambda rows: ([rows(), rows()], {"token": "<a>"}), "2 files and 1 token"),
        (lambda rows: (rows(3), {"token": ["<a>", "<b>"]}), "3 vectors"),
        (lambda rows: ([rows(), rows(width=7)], {"token": ["<a>", "<b>"]}), "have the width 7"),
        (lambda rows: (rows(), {"token": "<a>", "text_encoder": 3}), "not a component"),
        (lambda rows: ({"clip_l": rows(), "clip_g": rows()}, {"token": "<a>"}), "has no text"),
        (lambda rows: (rows(), {"token": "<a>", "weight": 1}), "weight"),
    ],
)
def test_what_doesn_t_fit_changes_nothing(
    pipe: Any, rows: Rows, given: Callable[..., Any], told: str
) -> None:
    pipe.load_textual_inversion({"<old>": rows(2)})
    tokenizer, encoder = pipe.tokenizer, table(pipe.text_encoder)
    source, options = given(rows)
    with pytest.raises((ArgumentError, CheckpointError), match=told):
        pipe.load_textual_inversion(source, **options)
    assert dict(pipe.attachments) == {"<old>": 1}
    assert pipe.tokenizer is tokenizer
    assert torch.equal(table(pipe.text_encoder), encoder)


def test_one_call_loads_both_text_encoders(xl: Any, rows: Rows, draw: Draw, tmp_path: Path) -> None:
    save_file({"clip_l": rows(2), "clip_g": rows(2, second=True)}, tmp_path / "cat.safetensors")
    before = draw(xl)
    xl.load_textual_inversion(tmp_path / "cat.safetensors", token="<cat>")
    together = draw(xl)
    assert not torch.equal(together, before)
    assert torch.equal(table(xl.text_encoder)[-2:], rows(2))
    assert torch.equal(table(xl.text_encoder_2)[-2:], rows(2, second=True))
    xl.unload_textual_inversion()
    assert torch.equal(draw(xl), before)

    # One by one, as programs do; also with what was taken before the first load.
    second = {"tokenizer": xl.tokenizer_2, "text_encoder": xl.text_encoder_2}
    xl.load_textual_inversion(rows(2), "<cat>", xl.tokenizer, xl.text_encoder)
    assert len(xl.tokenizer_2) == len(xl.tokenizer) - 2
    xl.load_textual_inversion(rows(2, second=True), token="<cat>", **second)
    assert torch.equal(draw(xl), together)
    shown = {"tokenizer": xl.tokenizer_2, "text_encoder": xl.text_encoder_2}
    xl.load_textual_inversion(rows(second=True), token="<dog>", **shown)
    xl.unload_textual_inversion("<cat>", **shown)
    assert xl.tokenizer_2.convert_tokens_to_ids("<dog>") == len(xl.tokenizer_2) - 1
    assert "<cat>" in xl.tokenizer.get_vocab()


def test_a_text_encoder_may_lose_what_one_call_loaded_for_both(xl: Any, rows: Rows) -> None:
    xl.load_textual_inversion({"clip_l": rows(), "clip_g": rows(second=True)}, token="<cat>")
    words = len(xl.components["tokenizer"])
    xl.unload_textual_inversion("<cat>", text_encoder=xl.text_encoder)
    assert len(xl.tokenizer) == words
    assert len(xl.tokenizer_2) == words + 1


def test_vectors_for_the_other_text_encoder_are_told_apart(xl: Any, rows: Rows) -> None:
    with pytest.raises(ArgumentError, match=r"they fit text_encoder_2: give text_encoder=pipe"):
        xl.load_textual_inversion({"<cat>": rows(second=True)})
    with pytest.raises(ArgumentError, match="give two that belong together"):
        xl.load_textual_inversion(
            {"<cat>": rows()}, tokenizer=xl.tokenizer, text_encoder=xl.text_encoder_2
        )


def test_nothing_is_left_of_what_was_unloaded(pipe: Any, rows: Rows) -> None:
    gone = []
    for number in range(3):
        pipe.load_textual_inversion({f"<{number}>": rows(2)})
        gone += [weakref.ref(one) for one in (pipe.tokenizer, pipe.text_encoder)]
        pipe.unload_textual_inversion()
    gc.collect()
    assert [one() for one in gone] == [None] * len(gone)
