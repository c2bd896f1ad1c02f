"""From texts to embeddings of two encoders."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe import StableDiffusionXLPipeline
from autopipe.errors import ArgumentError

LONG = "a red dog and a cat in a very large house"


@pytest.fixture
def pipe(build: Callable[..., Any]) -> Any:
    return build(StableDiffusionXLPipeline)


def states(tokenizer: Any, encoder: Any, text: str) -> Any:
    ids = tokenizer([text], padding="max_length", max_length=12, return_tensors="pt").input_ids
    with torch.no_grad():
        return encoder(ids, output_hidden_states=True)


def test_the_last_layer_but_one_of_both_encoders(pipe: Any) -> None:
    one = states(pipe.tokenizer, pipe.text_encoder, "a cat")
    two = states(pipe.tokenizer_2, pipe.text_encoder_2, "a dog")
    with torch.no_grad():
        embeds, _, pooled, _ = pipe.encode_prompt("a cat", "a dog")
    assert torch.equal(embeds[..., :16], one.hidden_states[-2])
    assert torch.equal(embeds[..., 16:], two.hidden_states[-2])
    assert torch.equal(pooled, two.text_embeds)


def test_the_second_encoder_reads_the_first_prompt_if_it_has_none(pipe: Any) -> None:
    for one, other in zip(pipe.encode_prompt("a cat"), pipe.encode_prompt("a cat", "a cat")):
        assert torch.equal(one, other)


@pytest.mark.parametrize("skip", [0, 1, 2])
def test_clip_skip_leaves_out_more_layers_of_the_prompt_alone(pipe: Any, skip: int) -> None:
    expected = states(pipe.tokenizer, pipe.text_encoder, "a cat").hidden_states[-2 - skip]
    call = {"prompt": "a cat", "negative_prompt": "a dog"}
    embeds, negative, _, _ = pipe.encode_prompt(**call, clip_skip=skip)
    assert torch.equal(embeds[..., :16], expected)
    assert torch.equal(negative, pipe.encode_prompt(**call)[1])


def test_a_refiner_reads_the_first_prompt(pipe: Any, build: Callable[..., Any]) -> None:
    refiner = build(StableDiffusionXLPipeline, text_encoder=None, tokenizer=None)
    embeds, _, pooled, _ = refiner.encode_prompt("a cat", "not read")
    whole, _, whole_pooled, _ = pipe.encode_prompt("a cat")
    assert torch.equal(embeds, whole[..., 16:])
    assert torch.equal(pooled, whole_pooled)


@pytest.mark.parametrize("zeros", [True, False])
def test_no_negative_prompt_is_zero_where_the_checkpoint_says_so(
    build: Callable[..., Any], zeros: bool
) -> None:
    pipe = build(StableDiffusionXLPipeline, force_zeros_for_empty_prompt=zeros)
    _, absent, _, absent_pooled = pipe.encode_prompt(["a", "b"])
    _, empty, _, empty_pooled = pipe.encode_prompt(["a", "b"], negative_prompt="")
    assert empty.any()
    assert empty_pooled.any()
    expected = torch.zeros_like(empty) if zeros else empty
    assert torch.equal(absent, expected)
    assert torch.equal(absent_pooled, torch.zeros_like(empty_pooled) if zeros else empty_pooled)


def test_a_second_negative_prompt_that_is_not_used_is_said(
    pipe: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        pipe("a", num_inference_steps=1, negative_prompt_2="b", output_type="latent")
    assert "negative_prompt_2 is ignored" in caplog.text


def test_texts_are_repeated_side_by_side_and_a_lone_one_for_all(pipe: Any) -> None:
    found = pipe.encode_prompt(
        ["a", "b"], "c", num_images_per_prompt=2, negative_prompt="d", negative_prompt_2=["e", "f"]
    )
    for i in range(4):
        alone = pipe.encode_prompt(
            "ab"[i // 2], "c", negative_prompt="d", negative_prompt_2="ef"[i // 2]
        )
        for one, other in zip(found, alone):
            # Float32, in batches of another size.
            torch.testing.assert_close(one[i : i + 1], other, atol=1e-6, rtol=0)


def test_long_texts_are_cut_and_said_for_each_encoder(
    pipe: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        pipe.encode_prompt(LONG)
    assert sum("was cut off" in record.message for record in caplog.records) == 2


def test_embeddings_go_through(pipe: Any) -> None:
    given, pooled = torch.randn(1, 7, 32), torch.randn(1, 10)
    found = pipe.encode_prompt(
        num_images_per_prompt=2, prompt_embeds=given, pooled_prompt_embeds=pooled,
        negative_prompt="a",
    )  # fmt: skip
    assert torch.equal(found[0], given.repeat(2, 1, 1))
    assert torch.equal(found[2], pooled.repeat(2, 1))
    assert found[1].shape == (2, 7, 32)


def test_texts_need_their_encoders(build: Callable[..., Any]) -> None:
    pipe = build(StableDiffusionXLPipeline, text_encoder_2=None)
    with pytest.raises(ArgumentError, match="lacks a text encoder"):
        pipe.encode_prompt("a cat")
    given = {"prompt_embeds": torch.randn(1, 7, 32), "pooled_prompt_embeds": torch.randn(1, 10)}
    assert not pipe.encode_prompt(**given)[1].any()
