"""Tokens in views, calls, threads, copies and placements."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from support import placements
from torch import Tensor, nn

from autopipe import Attachment, DiffusionPipeline
from autopipe.attaching.recorder import Recorder
from autopipe.errors import ArgumentError
from autopipe_textual_inversion.attachment import TextualInversion

Rows = Callable[..., Tensor]
Draw = Callable[..., Tensor]
TOKENS = [f"<{number}>" for number in range(8)]


def loaded(pipe: Any, rows: Rows, count: int = 2) -> Any:
    for number, token in enumerate(TOKENS[:count]):
        pipe.load_textual_inversion({token: rows(1 + number % 3, seed=number)})
    return pipe


def test_calls_choose_their_tokens(pipe: Any, rows: Rows, draw: Draw) -> None:
    prompt = "a <0> <1>"
    plain = draw(pipe, prompt)
    pipe.load_textual_inversion({"<0>": rows()})
    alone = draw(pipe, prompt)
    pipe.load_textual_inversion({"<1>": rows(2, seed=1)})
    both = draw(pipe, prompt)
    assert not any(torch.equal(one, two) for one, two in ((plain, alone), (alone, both)))
    assert torch.equal(draw(pipe, prompt, adapters={"<0>": 1}), alone)
    assert torch.equal(draw(pipe, prompt, adapters={}), plain)
    assert torch.equal(draw(pipe, prompt), both)


def test_pipelines_that_share_the_weights_have_their_own_tokens(
    pipe: Any, rows: Rows, draw: Draw
) -> None:
    other = type(pipe).from_pipe(pipe)
    plain = draw(pipe)
    pipe.load_textual_inversion({"<cat>": rows(2)})
    assert torch.equal(draw(other), plain)
    assert len(other.tokenizer) == len(pipe.tokenizer) - 2
    inherits = type(pipe).from_pipe(pipe)
    assert torch.equal(draw(inherits), draw(pipe))
    # What one unloads, the other keeps.
    inherits.unload_textual_inversion()
    assert torch.equal(draw(inherits), plain)
    assert not torch.equal(draw(pipe), plain)
    assert list(pipe.attachments) == ["<cat>"]
    # The same token with other vectors.
    other.load_textual_inversion({"<cat>": rows(1, seed=3)})
    assert not torch.equal(draw(other), draw(pipe))
    before = dict(pipe.attachments)
    with pytest.raises(ArgumentError, match="has '<cat>' already"):
        pipe.set_attachments(dict.fromkeys(pipe.attachments, 1))
    assert dict(pipe.attachments) == before


def test_eight_threads_draw_what_eight_calls_draw(pipe: Any, rows: Rows, draw: Draw) -> None:
    loaded(pipe, rows, 8)

    def one(number: int) -> Tensor:
        chosen = {TOKENS[number]: 1, TOKENS[(3 * number + 1) % 8]: 1}
        return draw(pipe, f"a {' '.join(chosen)} sat", seed=number, adapters=chosen)

    serial = [one(number) for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(2):
            assert all(map(torch.equal, threads.map(one, range(8)), serial))


def test_copies_and_pickles_have_the_tokens(pipe: Any, rows: Rows, draw: Draw) -> None:
    expected = draw(loaded(pipe, rows), "a <0> <1>")
    for made in (copy.copy(pipe), copy.deepcopy(pipe), pickle.loads(pickle.dumps(pipe))):
        made.set_progress_bar_config(disable=True)
        assert torch.equal(draw(made, "a <0> <1>"), expected)
        assert dict(made.attachments) == dict(pipe.attachments)


def test_a_saved_pipeline_has_its_own_vocabulary_only(
    pipe: Any, rows: Rows, draw: Draw, tmp_path: Path
) -> None:
    plain = draw(pipe)
    loaded(pipe, rows).save_pretrained(tmp_path / "saved")
    again = DiffusionPipeline.from_pretrained(tmp_path / "saved")
    again.set_progress_bar_config(disable=True)
    assert len(again.tokenizer) == len(pipe.components["tokenizer"])
    assert torch.equal(draw(again), plain)


PLACES: dict[str, Callable[[Any], Any]] = {
    **placements.PLACES,
    "disk": lambda pipe: placements.on_disk(pipe, "text_encoder"),
    "compile": lambda pipe: pipe.use_engine({"text_encoder": "compile"}, backend="eager"),
    # An engine that takes no views leaves the text encoder to eager mode.
    "engine": lambda pipe: pipe.use_engine({"text_encoder": Recorder()}),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("first", [True, False])
def test_tokens_act_wherever_networks_are(
    pipe: Any, rows: Rows, draw: Draw, place: Callable[[Any], None], first: bool
) -> None:
    expected = draw(loaded(copy.deepcopy(pipe), rows), "a <0> <1>")
    if first:
        place(pipe)
    loaded(pipe, rows)
    if not first:
        place(pipe)
    assert torch.equal(draw(pipe, "a <0> <1>"), expected)
    assert len(pipe.text_encoder.get_input_embeddings().weight) == len(pipe.tokenizer)


def test_tokens_follow_casts(pipe: Any, rows: Rows, draw: Draw) -> None:
    loaded(pipe, rows).to(torch.bfloat16)
    assert pipe.text_encoder.get_input_embeddings().weight.dtype == torch.bfloat16
    assert draw(pipe).isfinite().all()
    pipe.to(torch.float32)
    pipe.unload_textual_inversion()
    pipe.load_textual_inversion({"<cat>": rows().half()})
    assert pipe.text_encoder.get_input_embeddings().weight.dtype == torch.float32


class Louder(Attachment):
    """Changes a layer of the text encoder, as a LoRA does."""

    name = "louder"

    def answers(self, component: str, network: nn.Module, strength: float) -> Any:
        paths = [path for path, _ in network.named_modules() if path.endswith("layers.0.mlp.fc1")]
        scaled = dict.fromkeys(paths, lambda layer, x: 2 * layer(x))
        return scaled if component == "text_encoder" else {}


@pytest.mark.parametrize("first", [True, False])
def test_tokens_act_beside_other_changes_of_the_text_encoder(
    pipe: Any, rows: Rows, draw: Draw, first: bool
) -> None:
    if first:
        pipe.attach(Louder())
    loaded(pipe, rows)
    if not first:
        pipe.attach(Louder())
    both = draw(pipe, "a <0> <1>")
    alone = draw(pipe, "a <0> <1>", adapters={"<0>": 1, "<1>": 1})
    louder = draw(pipe, "a <0> <1>", adapters={"louder": 1})
    assert not any(torch.equal(both, one) for one in (alone, louder))
    # The order of attaching doesn't count.
    again = copy.deepcopy(pipe)
    for name in ("louder", "<0>", "<1>"):
        again.detach(name)
    loaded(again, rows).attach(Louder())
    assert torch.equal(draw(again, "a <0> <1>"), both)


def test_it_is_an_add_on_that_is_on_or_off(pipe: Any, rows: Rows) -> None:
    pipe.attach("textual_inversion", {"<cat>": rows(2)}, name="cat")
    assert "<cat>_1" in pipe.tokenizer.get_vocab()
    with pytest.raises(ArgumentError, match=r"on \(1\) or off \(0\)"):
        pipe.set_attachments({"cat": 0.5})
    pipe.set_attachments({"cat": False})
    assert "<cat>" not in pipe.tokenizer.get_vocab()
    with pytest.raises(ArgumentError, match="no text_encoder_2 or no tokenizer_2"):
        pipe.attach(TextualInversion(rows(), token="<dog>", component="text_encoder_2"))


def test_rows_of_the_table_without_a_token_stay_out(pipe: Any, rows: Rows, draw: Draw) -> None:
    expected = draw(loaded(copy.deepcopy(pipe), rows), "a <0> <1>")
    words = len(pipe.tokenizer)
    pipe.text_encoder.resize_token_embeddings(words + 5)
    loaded(pipe, rows)
    assert len(pipe.text_encoder.get_input_embeddings().weight) == len(pipe.tokenizer)
    assert torch.equal(draw(pipe, "a <0> <1>"), expected)
    pipe.unload_textual_inversion()
    pipe.text_encoder.resize_token_embeddings(words - 1)
    with pytest.raises(ArgumentError, match=f"resize_token_embeddings\\({words}\\)"):
        loaded(pipe, rows)


def test_programs_read_the_longer_table(pipe: Any, rows: Rows) -> None:
    keys = list(pipe.text_encoder.state_dict())
    loaded(pipe, rows)
    layer = pipe.text_encoder.get_input_embeddings()
    assert isinstance(layer, nn.Embedding)
    assert layer.weight.shape == (layer.num_embeddings, layer.embedding_dim)
    ids = torch.arange(layer.num_embeddings)
    assert torch.equal(layer(ids), layer.weight)
    assert list(pipe.text_encoder.state_dict()) == keys
    with pytest.raises(IndexError):
        layer(ids + 1)


@pytest.mark.parametrize(
    ("grammar", "prompt", "whole"),
    [
        ("a1111", "a (<cat>:1.3) sat", "a (<cat> <cat>_1 <cat>_2:1.3) sat"),
        ("compel", "a (<cat>)1.3 sat", "a (<cat> <cat>_1 <cat>_2)1.3 sat"),
        ("compel", "a <cat>++ sat", "a (<cat> <cat>_1 <cat>_2)++ sat"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_weight_is_for_all_vectors_of_a_token(
    pipe: Any, rows: Rows, grammar: str, prompt: str, whole: str, first: bool
) -> None:
    if first:
        pipe.attach(grammar)
    pipe.load_textual_inversion({"<cat>": rows(3)})
    if not first:
        pipe.attach(grammar)
    found, expected, plain = (
        pipe.encode_prompt(text, "cpu", 1, False)[0] for text in (prompt, whole, "a <cat> sat")
    )
    assert torch.equal(found, expected)
    assert not torch.equal(found, plain)


def test_a_text_encoder_without_a_table_is_refused(pipe: Any, rows: Rows) -> None:
    pipe.text_encoder = nn.Linear(2, 2)
    with pytest.raises(ArgumentError, match="a Linear, has no table of embeddings"):
        pipe.load_textual_inversion({"<cat>": rows()})
