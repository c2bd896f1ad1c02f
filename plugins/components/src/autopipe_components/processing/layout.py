"""How tokens are padded and truncated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer as Backend

from autopipe.errors import ArgumentError
from autopipe.wording import listed, shown

if TYPE_CHECKING:
    from .calls import Calls

UNLIMITED = int(1e30)
"""The length of a tokenizer without a limit, as transformers has it."""

_NO_LIMIT = int(1e20)
"""Lengths above this one mean that there is no limit."""

_PADDING = {True: "longest", False: "do_not_pad"}
_TRUNCATION = {True: "longest_first", False: "do_not_truncate", None: "do_not_truncate"}


@dataclass(frozen=True)
class Layout:
    """How the rows of a batch are padded and truncated.

    Attributes:
        padding: `"longest"` for the length of the longest row, `"max_length"` or `"do_not_pad"`.
        truncation: which text of a pair is cut: `"longest_first"`, `"only_first"`,
            `"only_second"`, or `"do_not_truncate"` for none.
        max_length: in tokens, special tokens included; None if nothing needs it.
        stride: how many tokens of a row its overflow repeats.
        multiple: rows are padded to a multiple of this number of tokens.
        side: `"right"` or `"left"`, where padding stands.
    """

    padding: str
    truncation: str
    max_length: int | None
    stride: int
    multiple: int | None
    side: str

    @classmethod
    def of(
        cls,
        tokenizer: Calls,
        padding: bool | str,
        truncation: bool | str | None,
        max_length: int | None,
        stride: int = 0,
        multiple: int | None = None,
        side: str | None = None,
    ) -> Layout:
        """Return the layout that the arguments of a call ask for.

        Raises:
            ArgumentError: if a value is unknown, two contradict each other, or the tokenizer has
                no token to pad with.
        """
        if max_length is not None and padding is False and truncation is None:
            truncation = True
        pad = _strategy("padding", padding, _PADDING, ("max_length",))
        cut = _strategy("truncation", truncation, _TRUNCATION, ("only_first", "only_second"))
        side = tokenizer.padding_side if side is None else side
        if side not in ("left", "right"):
            raise ArgumentError(f"padding_side must be 'left' or 'right', not {shown(side)}")
        if max_length is None and tokenizer.model_max_length <= _NO_LIMIT:
            if pad == "max_length" or cut != "do_not_truncate":
                max_length = int(tokenizer.model_max_length)
        elif max_length is None:
            pad = "do_not_pad" if pad == "max_length" else pad
            cut = "do_not_truncate"
        if pad != "do_not_pad" and tokenizer.pad_token_id is None:
            raise ArgumentError(
                "padding needs a token to pad with, and this tokenizer has none; set its "
                "pad_token, such as tokenizer.pad_token = tokenizer.eos_token"
            )
        if "do_not" not in pad + cut and multiple and max_length and max_length % multiple:
            raise ArgumentError(
                f"max_length is {max_length}, which is not a multiple of pad_to_multiple_of="
                f"{multiple}"
            )
        return cls(pad, cut, max_length, stride, multiple, side)

    @contextmanager
    def on(self, backend: Backend, tokenizer: Calls) -> Iterator[None]:
        """Let `backend` work in this layout, and then as before. Not thread-safe."""
        padding, truncation = backend.padding, backend.truncation
        try:
            set_truncation(
                backend,
                None
                if self.truncation == "do_not_truncate"
                else {
                    "max_length": self.max_length,
                    "stride": self.stride,
                    "strategy": self.truncation,
                    "direction": tokenizer.truncation_side,
                },
            )
            set_padding(
                backend,
                None
                if self.padding == "do_not_pad"
                else {
                    "length": self.max_length if self.padding == "max_length" else None,
                    "direction": self.side,
                    "pad_id": tokenizer.pad_token_id,
                    "pad_token": tokenizer.pad_token,
                    "pad_type_id": tokenizer.pad_token_type_id,
                    "pad_to_multiple_of": self.multiple,
                },
            )
            yield
        finally:
            set_padding(backend, padding)
            set_truncation(backend, truncation)

    def length(self, longest: int) -> int | None:
        """Return the length to which rows are padded, if the longest has `longest` tokens."""
        found = {"longest": longest, "max_length": self.max_length}.get(self.padding)
        if found is None or not self.multiple:
            return found
        return -(-found // self.multiple) * self.multiple


def set_padding(backend: Backend, padding: dict[str, Any] | None) -> None:
    """Let `backend` pad as `padding` says, as its attribute `padding` gives it."""
    if padding is None:
        backend.no_padding()
    else:
        backend.enable_padding(**padding)


def set_truncation(backend: Backend, truncation: dict[str, Any] | None) -> None:
    """Let `backend` truncate as `truncation` says, as its attribute `truncation` gives it."""
    if truncation is None:
        backend.no_truncation()
    else:
        backend.enable_truncation(**truncation)


def _strategy(
    name: str, value: bool | str | None, words: dict[Any, str], others: tuple[str, ...]
) -> str:
    allowed = {*words.values(), *others}
    # Enumerations of transformers are strings, too.
    found = value if isinstance(value, str) else words.get(value)
    for one in allowed:
        if found == one:
            return one
    raise ArgumentError(
        f"{name} must be True, False or one of {listed(sorted(map(repr, allowed)))}, not "
        f"{shown(value)}"
    )
