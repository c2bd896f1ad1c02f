"""Calls of a tokenizer: texts to token ids, and back."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Encoding

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import error_summary, logger, shown

from .batch import Batch
from .layout import Layout
from .vocabulary import Vocabulary

_log = logger(__name__)

_SPACES = {
    f" {mark}": mark for mark in (".", "?", "!", ",", "' ", "n't", "'m", "'s", "'ve", "'re")
} | {" ' ": "'"}
"""Spaces that a cleaned text doesn't have."""


class Calls(Vocabulary):
    """Turns texts into token ids and back. Any number of threads may use it at once.

    Attributes:
        model_max_length: the most tokens of a text, special tokens included.
        padding_side, truncation_side: `"right"` or `"left"`.
        model_input_names: the values of a batch; the first one holds the ids.
    """

    pad_token_type_id = 0
    model_max_length: float
    padding_side: str
    truncation_side: str
    model_input_names: list[str]
    clean_up_tokenization_spaces: bool
    split_special_tokens: bool
    _lock: threading.Lock
    _warned: bool

    def __call__(
        self,
        text: str | Sequence[Any],
        text_pair: str | Sequence[Any] | None = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        split_special_tokens: bool | None = None,
        verbose: bool = True,
    ) -> Batch:
        """Return the token ids of texts, the mask of what is not padding, and what is asked for.

        Args:
            text: a text, or a list of them; with `is_split_into_words`, a list of words or a list
                of such lists.
            text_pair: texts that follow those of `text` in the same rows.
            add_special_tokens: whether to add the start and end tokens.
            padding: True or `"longest"` to pad to the longest row, `"max_length"` to that length.
            truncation: True or `"longest_first"` to cut the longest text of a row to
                `max_length`, `"only_first"` or `"only_second"` to cut this one.
            max_length: in tokens, special tokens included; by default `model_max_length`.
            stride: how many tokens overflowing rows repeat.
            pad_to_multiple_of: also pad to a multiple of this number of tokens.
            padding_side: `"right"` or `"left"` in place of the tokenizer's own.
            return_tensors: `"pt"` for tensors (B, L), `"np"` for arrays, None for lists.
            return_token_type_ids, return_attention_mask: whether to give these values, by default
                if `model_input_names` has them.
            return_overflowing_tokens: whether what truncation cuts off follows as further rows.
            return_special_tokens_mask, return_offsets_mapping, return_length: whether to give
                these values.
            split_special_tokens: whether special tokens in texts are read as ordinary text.
            verbose: whether to warn of a text that is longer than `model_max_length`.

        Raises:
            ArgumentTypeError: if `text` is not text.
            ArgumentError: if arguments contradict each other, rows of tensors have different
                lengths, or a text can't be cut or encoded.
        """
        several, rows = _rows(text, text_pair, is_split_into_words)
        layout = Layout.of(
            self, padding, truncation, max_length, stride, pad_to_multiple_of, padding_side
        )
        split = self.split_special_tokens if split_special_tokens is None else split_special_tokens
        try:
            with self._lock, layout.on(self._tokenizer, self):
                self._tokenizer.encode_special_tokens = split
                made = self._tokenizer.encode_batch(
                    rows, is_pretokenized=is_split_into_words, add_special_tokens=add_special_tokens
                )
        except Exception as error:
            raise ArgumentError(
                f"these texts can't be tokenized ({error_summary(error)}); look at max_length and "
                f"truncation, and for lone surrogates in the texts"
            ) from error
        if return_overflowing_tokens:
            parts = [(n, part) for n, one in enumerate(made) for part in (one, *one.overflowing)]
        else:
            parts = [*enumerate(made)]
        found = [part for _, part in parts]
        wanted = {
            "input_ids": True,
            "token_type_ids": return_token_type_ids,
            "attention_mask": return_attention_mask,
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
        }
        values: dict[str, list[Any]] = {
            name: [_value(name, one) for one in found]
            for name, is_wanted in wanted.items()
            if (name in self.model_input_names if is_wanted is None else is_wanted)
        }
        if return_length:
            values["length"] = [len(one) for one in found]
        if return_overflowing_tokens:
            values["overflow_to_sample_mapping"] = [number for number, _ in parts]
        if verbose and max_length is None:
            self._warn(max(map(len, found), default=0))
        if several or return_tensors is not None or return_overflowing_tokens:
            return Batch(values, found, return_tensors=return_tensors)
        # The length of a single text is a list, as in transformers.
        return Batch({n: v[0] if isinstance(v[0], list) else v for n, v in values.items()}, found)

    def _warn(self, length: int) -> None:
        """Warn once of a text of `length` tokens, if that is too long."""
        if length > self.model_max_length and not self._warned:
            self._warned = True
            _log.warning(
                "a text has %d tokens, but the text encoder takes %d; pass truncation=True",
                length,
                self.model_max_length,
            )

    def encode(self, text: Any, text_pair: Any = None, **kwargs: Any) -> Any:
        """Return the token ids of a text; keywords are those of a call."""
        return self(text, text_pair, **kwargs)["input_ids"]

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """Return the tokens of a text; keywords are those of a call."""
        return self(text, pair, add_special_tokens=add_special_tokens, **kwargs).tokens()

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> Batch:
        """Pad rows of token ids to one length, as for a data loader.

        Args:
            encoded_inputs: a batch, or a list of what calls with a single text return.

        Raises:
            ArgumentError: if there are no token ids, or an argument is not valid.
        """
        main = self.model_input_names[0]
        values = _gathered(encoded_inputs)
        if main not in values:
            raise ArgumentError(f"padding needs {main}, but there is only {shown(list(values))}")
        ids = values[main]
        single = bool(ids) and isinstance(ids[0], int)
        if single:
            values = {name: [row] for name, row in values.items()}
            ids = values[main]
        layout = Layout.of(self, padding, False, max_length, 0, pad_to_multiple_of, padding_side)
        length = layout.length(max(map(len, ids), default=0)) or 0
        given = "attention_mask" in self.model_input_names
        if given if return_attention_mask is None else return_attention_mask:
            values.setdefault("attention_mask", [[1] * len(row) for row in ids])
        fill = {
            main: self.pad_token_id,
            "attention_mask": 0,
            "token_type_ids": self.pad_token_type_id,
            "special_tokens_mask": 1,
        }
        made: dict[str, Any] = {}
        for name, rows in values.items():
            more = [[fill[name]] * (length - len(row)) for row in rows] if name in fill else []
            if layout.side == "left":
                padded = [[*extra, *row] for extra, row in zip(more, rows)]
            else:
                padded = [[*row, *extra] for extra, row in zip(more, rows)]
            made[name] = padded if name in fill else rows
        if single:
            made = {name: rows[0] for name, rows in made.items()}
        return Batch(made, return_tensors=return_tensors)

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> Any:
        """Return the text of token ids, or a list with the texts of rows of them.

        Args:
            token_ids: a list, array or tensor (L) or (B, L), or one id.
            skip_special_tokens: whether to leave special tokens out.
            clean_up_tokenization_spaces: whether to remove spaces before punctuation.
        """
        ids = _plain(token_ids)
        if isinstance(ids, int):
            ids = [ids]
        if ids and isinstance(ids[0], list):
            return [
                self.decode(row, skip_special_tokens, clean_up_tokenization_spaces) for row in ids
            ]
        clean = clean_up_tokenization_spaces
        return self._text(
            ids, skip_special_tokens, self.clean_up_tokenization_spaces if clean is None else clean
        )

    def _text(self, ids: list[int], skip_special_tokens: bool, clean: bool) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=skip_special_tokens)
        for spaced, joined in _SPACES.items() if clean else ():
            text = text.replace(spaced, joined)
        return text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """Return a list with the texts of rows of token ids; see `decode`."""
        rows = _plain(sequences)
        keywords = skip_special_tokens, clean_up_tokenization_spaces
        if rows and isinstance(rows[0], int):
            rows = [rows]
        return [self.decode(row, *keywords) for row in rows]


def _value(name: str, encoding: Encoding) -> list[Any]:
    """Return what a batch has under `name` for one row."""
    attributes = {
        "input_ids": "ids",
        "token_type_ids": "type_ids",
        "offset_mapping": "offsets",
    }
    found: list[Any] = getattr(encoding, attributes.get(name, name))
    return found


def _rows(text: Any, pair: Any, words: bool) -> tuple[bool, list[Any]]:
    """Return whether `text` is a list of texts, and all rows."""
    of = (list, tuple)
    several = isinstance(text, of) and (not words or (bool(text) and isinstance(text[0], of)))
    texts, pairs = ([*text], pair) if several else ([text], None if pair is None else [pair])
    if pairs is not None and (isinstance(pairs, str) or len(pairs) != len(texts)):
        raise ArgumentError(
            f"text_pair must have one text for each of the {len(texts)} of text, not {shown(pair)}"
        )
    for one in (*texts, *(pairs or ())):
        if not isinstance(one, (str, *of)):
            raise ArgumentTypeError(f"a tokenizer takes texts, not {shown(one)}")
    return several, texts if pairs is None else [*zip(texts, pairs)]


def _gathered(given: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return plain values by name, of a batch or of a list of examples."""
    if not isinstance(given, Mapping):
        given = {name: [one[name] for one in given] for name in (given[0] if given else ())}
    return {name: _plain(value) for name, value in given.items()}


def _plain(values: Any) -> Any:
    """Return `values` as numbers and lists."""
    if isinstance(values, Mapping):
        values = values["input_ids"]
    if hasattr(values, "tolist"):
        return values.tolist()
    return [_plain(one) for one in values] if isinstance(values, (list, tuple)) else values
