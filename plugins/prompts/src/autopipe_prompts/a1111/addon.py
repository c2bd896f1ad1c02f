"""The add-on for the grammar of AUTOMATIC1111's web UI."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autopipe.attaching.attachment import Predict
from autopipe.errors import ArgumentError
from autopipe_components.steps.checks import check_whole

from ..fragments import Fragment, scaled
from ..reader import Read, Reader
from ..weighting import PromptWeighting
from .chunks import BACKTRACKING, Chunk, chunks_of
from .emphasis import sections_of
from .parts import parts_of
from .schedule import changes, text_at, tree_of
from .steps import Steps, predictor


class A1111(PromptWeighting):
    """Reads prompts in the grammar of AUTOMATIC1111's web UI.

    `(word)` multiplies the embeddings of its tokens by 1.1, `(word:1.3)` by 1.3, and `[word]`
    divides by 1.1. Then all embeddings of a chunk are scaled so that their mean is restored.
    `BREAK` begins a new chunk of 75 tokens. `AND` combines the predictions of prompts, each with
    its weight (Liu et al. 2022, arXiv:2206.01714). `[from:to:0.5]` and `[one|other]` change the
    prompt from step to step.

    Args:
        comma_backtracking: at the end of a chunk, the number of tokens after the last comma that
            move to the next chunk rather than being divided; 0 always divides.

    Raises:
        ArgumentError, ArgumentTypeError: if it is not a whole number of at least 0.
    """

    name = "a1111"

    def __init__(self, comma_backtracking: int = BACKTRACKING) -> None:
        check_whole("comma_backtracking", comma_backtracking)
        if comma_backtracking < 0:
            raise ArgumentError(
                f"comma_backtracking is {comma_backtracking}; give a number of tokens, or 0"
            )
        self.comma_backtracking = comma_backtracking
        self._steps: Steps | None = None

    def of_call(self, run: Any) -> A1111:
        """Return the add-on with the prompts of one call.

        Raises:
            ArgumentError: if a prompt can't be read in the grammar.
        """
        made = copy.copy(super().of_call(run))
        made._steps = Steps(run.call.get("num_inference_steps") or 1)
        return made

    def check_text(self, name: str, text: str) -> None:
        """Raise `ArgumentError` if the argument `name` of a call can't be read in the grammar."""
        parts = parts_of(text)
        if len(parts) > 1 and name.startswith("negative"):
            raise ArgumentError(
                f"AND in {name} has no meaning: it combines the predictions of prompts, which all "
                f"have this negative prompt; write a comma"
            )
        for part in parts:
            sections_of(text_at(tree_of(part.text), 0, 1))

    def text_of(self, text: str) -> str:
        """Return the part of a prompt that the current step encodes.

        Raises:
            ArgumentError: if the prompt is too long, or it combines or changes prompts outside of a
                call.
        """
        text = super().text_of(text)
        parts = parts_of(text)
        if self._steps is not None:
            return self._steps.text_of(text, parts)
        nodes = tree_of(text)
        if len(parts) > 1 or changes(nodes):
            raise ArgumentError(
                "AND, [from:to:0.5] and [one|other] combine or change prompts during a call, so "
                "embeddings can't hold them; give the prompt to a call with this add-on"
            )
        return text_at(nodes, 0, 1)

    def is_plain(self, text: str, reader: Reader) -> bool:
        """Whether a text has no syntax and fits into one chunk."""
        chunks = self._chunks(text, reader)
        return (
            len(chunks) == 1
            and all(weight == 1.0 for weight in chunks[0].weights)
            and reader.ids([text]) == [chunks[0].ids]
        )

    def read(self, text: str, reader: Reader, strength: float) -> Read:
        """Return the weighted embeddings of all chunks, and the pooled one of the first chunk."""
        chunks = self._chunks(text, reader)
        reader.check_chunks(len(chunks))
        found = reader.read([reader.tokens(chunk.ids) for chunk in chunks])
        rows = [_emphasized(one, c, strength) for one, c in zip(found.states, chunks)]
        pooled = None if found.pooled is None else found.pooled[:1]
        return Read(torch.cat(rows)[None], pooled)

    def _chunks(self, text: str, reader: Reader) -> list[Chunk]:
        sections = sections_of(text)
        fragments: list[Fragment] = [one for section in sections for one in section]
        ids = iter(reader.ids([one.text for one in fragments]) if fragments else ())
        return chunks_of(
            [[(next(ids), one) for one in section] for section in sections],
            reader.room,
            reader.comma,
            self.comma_backtracking,
        )

    def predict(
        self, run: Any, tensors: Mapping[str, Any], predict: Predict, strength: float
    ) -> Predict:
        """Return `predict` for prompts that are combined, or change from step to step.

        Raises:
            ArgumentError: if the pipeline or the call doesn't support that.
        """
        steps = self._steps
        if steps is None or not steps.are_needed:
            return predict
        return predictor(self.name, steps, run, tensors, predict)


def _emphasized(states: Tensor, chunk: Chunk, strength: float) -> Tensor:
    """Return states (K, D) multiplied by the weights of a chunk, with their mean restored."""
    weights = [scaled(one, strength) for one in chunk.weights]
    if all(one == 1.0 for one in weights):
        return states
    exact = states.float()
    factors = exact.new_ones(len(exact), 1)
    factors[1 : len(weights) + 1, 0] = exact.new_tensor(weights)
    weighted = exact * factors
    ratio = exact.mean() / weighted.mean()
    return (weighted * ratio if bool(ratio.isfinite()) else weighted).to(states.dtype)
