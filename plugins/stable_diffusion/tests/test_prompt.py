"""From texts to embeddings."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe import StableDiffusionPipeline
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe_stable_diffusion.prompt import encode_text

LONG = "a red dog and a cat in a very large house"


@pytest.fixture
def pipe(build: Callable[..., Any]) -> Any:
    return build(StableDiffusionPipeline)


def test_embeddings_are_the_text_encoders_last_states(pipe: Any) -> None:
    ids = pipe.tokenizer(
        ["a cat"], padding="max_length", max_length=12, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        expected = pipe.text_encoder(ids).last_hidden_state
        found, negative = pipe.encode_prompt("a cat", "cpu", 1, False)
    assert negative is None
    assert torch.equal(found, expected)


def test_prompts_are_repeated_side_by_side(pipe: Any) -> None:
    found, negative = pipe.encode_prompt(["a", "b"], "cpu", 2, True, ["c", "d"])
    for embeds, texts in ((found, "ab"), (negative, "cd")):
        for i in range(4):
            alone, _ = pipe.encode_prompt(texts[i // 2], "cpu", 1, False)
            torch.testing.assert_close(embeds[i : i + 1], alone, atol=1e-6, rtol=0)


def test_no_negative_prompt_is_the_empty_text(pipe: Any) -> None:
    _, absent = pipe.encode_prompt(["a", "b"], "cpu", 1, True)
    _, empty = pipe.encode_prompt(["a", "b"], "cpu", 1, True, ["", ""])
    assert torch.equal(absent, empty)


def test_equal_texts_are_encoded_once(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    forward = type(pipe.text_encoder).forward

    def count(self: Any, ids: torch.Tensor, **kwargs: Any) -> Any:
        batches.append(len(ids))
        return forward(self, ids, **kwargs)

    monkeypatch.setattr(type(pipe.text_encoder), "forward", count)
    found, negative = pipe.encode_prompt(["a", "b", "a"], "cpu", 1, True)
    assert batches == [2, 1]
    assert torch.equal(found[0], found[2])
    assert not torch.allclose(found[0], found[1])
    assert negative.shape == found.shape


def test_embeddings_go_through_and_set_the_length_of_the_negative(pipe: Any) -> None:
    given = torch.randn(1, 7, 16)
    found, negative = pipe.encode_prompt(None, None, 2, True, "a", prompt_embeds=given)
    assert torch.equal(found, given.repeat(2, 1, 1))
    assert negative.shape == (2, 7, 16)


@pytest.mark.parametrize("skip", [1, 2, 3])
def test_clip_skip_leaves_out_the_last_layers(pipe: Any, skip: int) -> None:
    """As if the encoder ended there: its layers, then its final norm."""
    shorter = copy.deepcopy(pipe.text_encoder)
    shorter.encoder.layers = shorter.encoder.layers[:-skip] if skip else shorter.encoder.layers
    expected = encode_text(pipe.tokenizer, shorter, ["a cat"], device="cpu")
    found, negative = pipe.encode_prompt("a cat", "cpu", 1, True, clip_skip=skip)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    _, whole = pipe.encode_prompt("a cat", "cpu", 1, True)
    assert torch.equal(negative, whole)
    assert not torch.allclose(found, pipe.encode_prompt("a cat", "cpu", 1, True)[0], atol=1e-3)


def test_clip_skip_zero_skips_nothing(pipe: Any) -> None:
    plain, _ = pipe.encode_prompt("a cat", "cpu", 1, False)
    assert torch.equal(pipe.encode_prompt("a cat", "cpu", 1, False, clip_skip=0)[0], plain)


def test_long_texts_are_cut_with_a_warning(pipe: Any, caplog: pytest.LogCaptureFixture) -> None:
    found, _ = pipe.encode_prompt(LONG, "cpu", 1, False)
    assert found.shape == (1, 12, 16)
    (record,) = caplog.records
    assert "12 tokens" in record.message
    # The text that was cut is the end of what was given.
    assert LONG.endswith(record.message.split("'")[1].strip()[-5:])


def test_a_tokenizer_that_names_no_length_gets_that_of_the_encoder(
    pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = pipe.encode_prompt("a cat", "cpu", 1, False)
    monkeypatch.setattr(pipe.tokenizer, "model_max_length", 10**30)
    found, _ = pipe.encode_prompt("a cat", "cpu", 1, False)
    assert found.shape[1] == pipe.text_encoder.config.max_position_embeddings
    assert torch.equal(found[:, : expected.shape[1]], expected)


def test_a_text_that_just_fits_is_not_warned_of(
    pipe: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(pipe.tokenizer("cat " * 10).input_ids) == 12
    pipe.encode_prompt("cat " * 10, "cpu", 1, False)
    assert not caplog.records


def test_refusals(pipe: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="negative_prompt"):
        pipe.encode_prompt(["a", "b"], "cpu", 1, True, "c")
    with pytest.raises(ArgumentError, match="1 negative"):
        pipe.encode_prompt(["a", "b"], "cpu", 1, True, ["c"])
    with pytest.raises(ArgumentError, match="neither"):
        pipe.encode_prompt(None, "cpu", 1, True)


def test_negative_embeddings_of_another_shape_are_refused(pipe: Any) -> None:
    with pytest.raises(ArgumentError, match=r"\(1, 7, 16\)"):
        pipe("a cat", negative_prompt_embeds=torch.zeros(1, 7, 16), num_inference_steps=1)
