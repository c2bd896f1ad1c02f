"""What both grammars have in common: calls, views, threads, and what is refused."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from support.image_embeddings import make_prior_components
from torch import Tensor

from autopipe import Attachment, AutoPipelineForInpainting, KandinskyV22PriorPipeline
from autopipe.errors import ArgumentError
from autopipe_components.guided import GuidedPipeline
from autopipe_components.steps.prompt import text_length, tokenize
from autopipe_components.steps.tokens import hiding_mask
from autopipe_prompts.embeds import weighted_embeds

from .conftest import WORDS

Draw = Callable[..., Tensor]
GRAMMARS = ("a1111", "compel")
HEAVY = {"a1111": "a (red:1.5) circle", "compel": "a (red)1.5 circle"}
LIGHT = {"a1111": "a (red:0.5) circle", "compel": "a (red)0.5 circle"}
LONG = "a red circle on a white background, " * 8

grammars = pytest.mark.parametrize("grammar", GRAMMARS)


@grammars
def test_plain_prompts_draw_bitwise_what_they_draw_without(
    sd: Any, xl: Any, draw: Draw, grammar: str
) -> None:
    size = {"height": 16, "width": 16}
    calls: list[tuple[Any, dict[str, Any]]] = [
        (sd, {}),
        (sd, {"negative_prompt": "blue", "num_images_per_prompt": 2}),
        (sd, {"prompt": [WORDS, "a star"], "clip_skip": 1}),
        (xl, {"prompt": "a cat", "negative_prompt": "a dog", **size}),
        (xl, {"prompt": "a cat", "prompt_2": "dogs", **size}),
    ]
    plain = [draw(pipe, **call) for pipe, call in calls]
    for pipe in (sd, xl):
        pipe.attach(grammar)
    for (pipe, call), expected in zip(calls, plain):
        assert torch.equal(draw(pipe, **call), expected)
        assert torch.equal(draw(pipe, **call, adapters={}), expected)


@grammars
def test_weights_change_pictures_of_calls_and_views(sd: Any, draw: Draw, grammar: str) -> None:
    words, plain = "a red circle", draw(sd, "a red circle")
    literal = draw(sd, HEAVY[grammar])
    sd.attach(grammar)
    heavy = draw(sd, HEAVY[grammar])
    assert not torch.equal(heavy, plain)
    assert torch.equal(draw(sd, words), plain)
    view = AutoPipelineForInpainting.from_pipe(sd)
    assert view.attachments == {grammar: 1.0}
    view.set_attachments({})
    assert sd.attachments == {grammar: 1.0}
    sd.set_attachments({})
    assert torch.equal(draw(sd, HEAVY[grammar]), literal)
    assert torch.equal(draw(sd, HEAVY[grammar], adapters={grammar: 1}), heavy)
    # Half of the strength is half of the distance from 1.
    half = {"a1111": "a (red:1.25) circle", "compel": "a (red)1.25 circle"}[grammar]
    assert torch.equal(
        draw(sd, HEAVY[grammar], adapters={grammar: 0.5}),
        draw(sd, half, adapters={grammar: 1}),
    )


@grammars
@pytest.mark.parametrize(
    ("prompt", "negative"),
    [
        (LONG, ""),
        ("a star", LONG),
        (LONG, LONG * 2),
        (["a star", LONG], ["blue", "red"]),
        (LONG, None),
    ],
)
def test_prompt_and_negative_prompt_get_one_length(
    sd: Any, xl: Any, draw: Draw, grammar: str, prompt: Any, negative: Any
) -> None:
    for pipe, size in ((sd, {}), (xl, {"height": 16, "width": 16})):
        pipe.attach(grammar)
        assert torch.isfinite(draw(pipe, prompt, negative_prompt=negative, **size)).all()
        embeds, other, *_ = weighted_embeds(pipe, prompt, negative, grammar)
        assert embeds.shape == other.shape
        assert embeds.shape[1] > text_length(pipe.tokenizer, pipe.text_encoder)


def test_the_shorter_prompt_is_continued_by_the_empty_one(sd: Any, xl: Any) -> None:
    for pipe in (sd, xl):
        embeds = weighted_embeds(pipe, "a star", LONG)[0]
        own, empty = (weighted_embeds(pipe, text, "")[0] for text in ("a star", ""))
        count = own.shape[1]
        assert torch.equal(embeds[:, :count], own)
        for start in range(count, embeds.shape[1], count):
            assert torch.equal(embeds[:, start : start + count], empty)


def test_the_second_encoder_is_continued_if_its_prompt_is_shorter(xl: Any, draw: Draw) -> None:
    xl.attach("a1111")
    call = {"height": 16, "width": 16, "prompt_2": "a"}
    assert torch.isfinite(draw(xl, LONG, **call)).all()


@grammars
def test_threads_draw_what_serial_calls_draw(sd: Any, draw: Draw, grammar: str) -> None:
    sd.attach(grammar)
    base = ["a star", HEAVY[grammar], LIGHT[grammar], LONG]
    if grammar == "a1111":
        more = ["a star AND a circle:0.5", "a [red:blue:0.5] star", "a [red|blue] star", "[a] b"]
    else:
        more = ["a star++", '("a", "b").and()', '("a star", "red").blend(1, 3)', "(a)0.2 star"]
    prompts = base + more
    serial = [draw(sd, one, seed=seed) for seed, one in enumerate(prompts)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda pair: draw(sd, pair[1], seed=pair[0]), enumerate(prompts)))
    assert all(torch.equal(one, other) for one, other in zip(found, serial))


@grammars
def test_copies_take_the_grammar_along(sd: Any, draw: Draw, grammar: str) -> None:
    sd.attach(grammar)
    expected = draw(sd, HEAVY[grammar])
    for made in (copy.copy(sd), copy.deepcopy(sd), pickle.loads(pickle.dumps(sd))):
        assert torch.equal(draw(made, HEAVY[grammar]), expected)


class Renaming(Attachment):
    """Replaces a word, as an add-on with new words does."""

    name = "renaming"

    def encode(self, run: Any, component: str, encode: Any, strength: Any) -> Any:
        return lambda texts, **options: encode(
            [text.replace("ball", "red circle") for text in texts], **options
        )


@pytest.mark.parametrize("first", [True, False])
def test_words_of_other_add_ons_are_replaced_before_they_are_weighted(
    sd: Any, draw: Draw, first: bool
) -> None:
    sd.attach("a1111")
    expected = draw(sd, "a (red circle:1.4)")
    sd.detach("a1111")
    for one in (Renaming(), "a1111") if first else ("a1111", Renaming()):
        sd.attach(one)
    assert torch.equal(draw(sd, "a (ball:1.4)"), expected)


@grammars
def test_a_hidden_or_weighted_token_follows_changed_encoders(
    sd: Any, draw: Draw, grammar: str
) -> None:
    class Louder(Attachment):
        name = "louder"

        def answers(self, component: str, network: Any, strength: Any) -> Any:
            if component != "text_encoder":
                return {}
            return {"final_layer_norm": lambda layer, x: layer(x) * 1.5}

    sd.attach(grammar)
    before = draw(sd, LIGHT[grammar])
    sd.attach(Louder())
    louder = weighted_embeds(sd, LIGHT[grammar], grammar=grammar)[0]
    sd.detach("louder")
    quiet = weighted_embeds(sd, LIGHT[grammar], grammar=grammar)[0]
    assert torch.allclose(louder, 1.5 * quiet, atol=1e-5)  # Rounded once more.
    assert torch.equal(draw(sd, LIGHT[grammar]), before)


@grammars
def test_half_precision(sd: Any, grammar: str) -> None:
    expected = weighted_embeds(sd, LIGHT[grammar], grammar=grammar)[0]
    half = copy.deepcopy(sd).to(torch.bfloat16)
    found = weighted_embeds(half, LIGHT[grammar], grammar=grammar)[0]
    assert found.dtype == torch.bfloat16
    # bfloat16 has 8 bits; states reach about 3, and the encoder adds its own rounding.
    assert torch.allclose(found.float(), expected, atol=0.15)


@grammars
def test_families_that_take_no_tokens_are_refused(tmp_path: Path, grammar: str) -> None:
    prior = KandinskyV22PriorPipeline(**make_prior_components(tmp_path))
    with pytest.raises(ArgumentError, match=f"{grammar} .* KandinskyV22PriorPipeline doesn't"):
        prior.attach(grammar)
    assert not prior.attachments


class Talking(GuidedPipeline):
    """A stranger's family: its embeddings are the mean of two layers."""

    encodes_tokens = True

    def __init__(self, tokenizer: Any, text_encoder: Any) -> None:
        self.register_modules(tokenizer=tokenizer, text_encoder=text_encoder)

    def _read(self, texts: Sequence[Any]) -> Tensor:
        length = text_length(self.tokenizer, self.text_encoder)
        ids, _ = tokenize(self.tokenizer, texts, length)
        found = self.text_encoder(
            ids, attention_mask=hiding_mask(texts, length), output_hidden_states=True
        )
        return (found.hidden_states[-1] + found.hidden_states[-2]) / 2

    @torch.no_grad()
    def tell(self, *texts: str) -> Tensor:
        found: Tensor = self.encoder("text_encoder", self._read)(list(texts))
        return found


@grammars
def test_a_strangers_family_encodes_tokens_in_its_own_way(xl: Any, grammar: str) -> None:
    pipe = Talking(xl.tokenizer, xl.text_encoder)
    plain, empty = pipe.tell("a cat")[0], pipe.tell("")[0]
    pipe.attach(grammar)
    assert torch.equal(pipe.tell("a cat")[0], plain)
    found = pipe.tell({"a1111": "a (cat:1.5)", "compel": "a (cat)1.5"}[grammar])[0]
    if grammar == "a1111":
        weighted = plain.clone()
        weighted[2] *= 1.5
        expected = weighted * plain.mean() / weighted.mean()
    else:
        expected = plain.clone()
        expected[2] = empty[2] + 1.5 * (plain[2] - empty[2])
    assert torch.allclose(found, expected, atol=1e-6)  # Summed in another order.
    assert pipe.tell("a cat " * 10).shape[1] == 24


def test_one_grammar_reads_a_prompt(sd: Any, draw: Draw) -> None:
    for grammar in GRAMMARS:
        sd.attach(grammar)
    with pytest.raises(ArgumentError, match="a1111, compel read prompts in different ways"):
        draw(sd, WORDS)
    text = HEAVY["compel"]
    own = weighted_embeds(sd, text, grammar="compel")
    assert dict(sd.attachments) == dict.fromkeys(GRAMMARS, 1)
    drawn = draw(sd, text, adapters={"compel": 1})
    sd.set_attachments({})
    for one, other in zip(own, weighted_embeds(sd, text, grammar="compel")):
        assert torch.equal(one, other)
    given = draw(sd, None, prompt_embeds=own[0], negative_prompt_embeds=own[1])
    assert torch.equal(drawn, given)


def test_a_prompt_in_chunks_is_not_said_to_be_cut_off(
    xl: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        weighted_embeds(xl, "a cat++ " * 9, "", "compel")
    assert not caplog.records


@pytest.mark.parametrize("grammar", ["A1111", "", None])
def test_an_unknown_grammar_is_refused(sd: Any, grammar: Any) -> None:
    with pytest.raises(ArgumentError, match="give one of"):
        weighted_embeds(sd, "a", grammar=grammar)
