"""The base of add-ons that read prompts in a grammar with weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch

from autopipe.attaching.attachment import Attachment, Encode
from autopipe.errors import ArgumentError
from autopipe.wording import listed
from autopipe_components.steps.prompt import lengthened
from autopipe_components.steps.tokens import tokenizer_of

from .fragments import check_length
from .reader import Read, Reader

_Self = TypeVar("_Self", bound="PromptWeighting")

_PROMPTS = ("prompt", "prompt_2", "negative_prompt", "negative_prompt_2")


class PromptWeighting(Attachment):
    """Reads the prompts of a call in a grammar, with weights and of any length.

    Texts without syntax that fit into one chunk are encoded as without the add-on. The texts of a
    call get the same number of chunks, where necessary with those of the empty text.
    The strength of the add-on scales the distance of all weights from 1.
    """

    # Innermost, so that it gets texts in which other add-ons have replaced words.
    order = -50

    def check(self, pipe: Any) -> None:
        """Check that the text encoders of the pipeline, or of one of its stages, take tokens.

        Raises:
            ArgumentError: if not, or a tokenizer has no tokens for start and end.
        """
        kind = type(pipe)
        if not any(getattr(one, "encodes_tokens", False) for one in kind.stage_classes()):
            raise ArgumentError(
                f"{self.name} gives text encoders like CLIP's several chunks of tokens, which a "
                f"{kind.__name__} doesn't take; leave it out"
            )
        for name in kind.module_names():
            tokenizer = getattr(pipe, name) if name.startswith("tokenizer") else None
            if tokenizer is not None and None in (tokenizer.bos_token_id, tokenizer.eos_token_id):
                raise ArgumentError(
                    f"{self.name} puts a token before and after each chunk, but {name}, a "
                    f"{type(tokenizer).__name__}, has none for start or end"
                )

    def of_call(self: _Self, run: Any) -> _Self:
        """Return the add-on, once the prompts of the call are checked.

        Raises:
            ArgumentError: if a prompt can't be read in the grammar, or there is another grammar.
        """
        strengths = run.attachments
        active = [name for name in run.attached(PromptWeighting) if strengths[name]]
        if len(active) > 1:
            raise ArgumentError(
                f"{listed(active)} read prompts in different ways; switch on one of them, as by "
                f"adapters={{{active[0]!r}: 1}}"
            )
        for name in _PROMPTS:
            given = run.call.get(name)
            for text in (given,) if isinstance(given, str) else given or ():
                if isinstance(text, str):
                    check_length(text)
                    self.check_text(name, text)
        return self

    def check_text(self, name: str, text: str) -> None:
        """Raise `ArgumentError` if the argument `name` of a call can't be read in the grammar."""
        raise NotImplementedError

    def encode(self, run: Any, component: str, encode: Encode, strength: float) -> Encode:
        """Return a function that reads texts in the grammar, and encodes them."""

        def weighted(texts: Sequence[str], **options: Any) -> Any:
            if getattr(run, tokenizer_of(component), None) is None:
                return encode(texts, **options)
            reader = Reader.of(run, component, encode, options)
            wanted = options.get("length") or 0
            own = [self.text_of(text) for text in texts]
            weighty = {one for one in dict.fromkeys(own) if not self.is_plain(one, reader)}
            if wanted <= reader.size and not weighty:
                return encode(own, **options)
            read = {
                one: self.read(one, reader, strength) if one in weighty else reader.read([one])
                for one in dict.fromkeys(own)
            }
            found = [read[one] for one in own]
            length = max(wanted, *(one.states.shape[1] for one in found))
            states = torch.cat(
                [lengthened(one.states, length, lambda: reader.empty) for one in found]
            )
            if not reader.has_pooled:
                return states
            pooled = [one.pooled for one in found if one.pooled is not None]
            return states, torch.cat(pooled) if pooled else None

        return weighted

    def text_of(self, text: str) -> str:
        """Return the part of a prompt that is encoded now; by default all of it.

        Raises:
            ArgumentError: if the prompt is too long, or can't be read.
        """
        check_length(text)
        return text

    def is_plain(self, text: str, reader: Reader) -> bool:
        """Whether a text has no syntax and fits into one chunk."""
        raise NotImplementedError

    def read(self, text: str, reader: Reader, strength: float) -> Read:
        """Return what a text encoder makes of a text, with its weights.

        Raises:
            ArgumentError: if the text can't be read in the grammar.
        """
        raise NotImplementedError
