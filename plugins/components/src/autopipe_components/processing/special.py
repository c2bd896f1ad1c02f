"""The special tokens of a tokenizer: those with a name, such as `pad_token`, and further ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from tokenizers import AddedToken

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.kinds import BaseProcessor
from autopipe.wording import listed, shown

Token: TypeAlias = str | AddedToken
"""A token as text, or with the rules for matching it."""

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""The names of special tokens that every tokenizer has; those that it lacks are None."""

EXTRA = "extra_special_tokens"

FORMER = "additional_special_tokens"
"""The name of `EXTRA` before transformers 5."""


class SpecialTokens(BaseProcessor):
    """Named tokens as attributes, and their ids as attributes that end in `_id`.

    Both can be set: `tokenizer.pad_token = "!"` or `tokenizer.pad_token_id = 0`.
    """

    bos_token: str | None
    eos_token: str | None
    unk_token: str | None
    sep_token: str | None
    pad_token: str | None
    cls_token: str | None
    mask_token: str | None
    bos_token_id: int | None
    eos_token_id: int | None
    unk_token_id: int | None
    sep_token_id: int | None
    pad_token_id: int | None
    cls_token_id: int | None
    mask_token_id: int | None
    extra_special_tokens: list[str]
    extra_special_tokens_ids: list[int]

    _named: dict[str, Token | None]
    _extra: list[Token]

    def __getattr__(self, name: str) -> Any:
        # Copying asks for attributes before there are any.
        named, extra = self.__dict__.get("_named", {}), self.__dict__.get("_extra", [])
        stem = name.removesuffix("_ids").removesuffix("_id")
        found: Any
        if stem in named:
            found = None if named[stem] is None else str(named[stem])
        elif stem in (EXTRA, FORMER):
            found = [str(token) for token in extra]
        else:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return found if stem == name or found is None else self.convert_tokens_to_ids(found)

    def __setattr__(self, name: str, value: Any) -> None:
        stem = name.removesuffix("_ids").removesuffix("_id")
        if stem in (EXTRA, FORMER):
            several = [] if value is None else value
            if not isinstance(several, (list, tuple)):
                raise ArgumentTypeError(f"{name} must be a list, not {shown(value)}")
            if stem != name:
                several = self.convert_ids_to_tokens(list(several))
            self._extra = [_token(stem, token) for token in several]
        elif stem in self.__dict__.get("_named", ()):
            if value is not None and stem != name:
                value = self.convert_ids_to_tokens(int(value))
            self._named[stem] = None if value is None else _token(stem, value)
        else:
            super().__setattr__(name, value)

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The named special tokens that there are."""
        return {name: str(token) for name, token in self._named.items() if token is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        """All special tokens, each once, the named ones first."""
        return list(dict.fromkeys([*self.special_tokens_map.values(), *map(str, self._extra)]))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of all special tokens."""
        found: list[int] = self.convert_tokens_to_ids(self.all_special_tokens)
        return found

    def add_tokens(self, new_tokens: Token | Sequence[Token], special_tokens: bool = False) -> int:
        """Add tokens to the vocabulary, at its end, and return how many were not in it.

        Then resize the embeddings of the text encoder: `resize_token_embeddings(len(tokenizer))`.
        """
        raise NotImplementedError

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token, or a list of ids; for unknown tokens that of `unk_token`."""
        raise NotImplementedError

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or a list of tokens; None for unknown ids."""
        raise NotImplementedError

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, Token | Sequence[Token]],
        replace_extra_special_tokens: bool = True,
    ) -> int:
        """Set special tokens by name, add them to the vocabulary, and return how many are new.

        Args:
            special_tokens_dict: by name such as `"pad_token"` a token, and by
                `"extra_special_tokens"` a list of tokens.
            replace_extra_special_tokens: whether such a list replaces the present one.

        Raises:
            ArgumentError: if there is no such name.
            ArgumentTypeError: if a value is not a token.
        """
        added: list[Token] = []
        for name, value in special_tokens_dict.items():
            if name in (EXTRA, FORMER):
                new = [_special(name, one) for one in _sequence(name, value)]
                if not replace_extra_special_tokens:
                    new = [token for token in new if str(token) not in self.extra_special_tokens]
                replaced = replace_extra_special_tokens and new
                self._extra = [*new] if replaced else [*self._extra, *new]
            elif name in self._named:
                new = [_special(name, value)]
                self._named[name] = new[0]
            else:
                raise ArgumentError(
                    f"there is no special token {shown(name)}; there are "
                    f"{listed([*self._named, EXTRA])}"
                )
            added += new
        return self.add_tokens(added, special_tokens=True) if added else 0


def to_add(
    added: Iterable[AddedToken], named: Mapping[str, Token | None], extra: Iterable[Token]
) -> list[AddedToken]:
    """Return the tokens to add to a model, with the rules for matching them.

    Rules in `added` come first. Of several others for one text the last ones hold.
    """
    found = [*added]
    known = {str(token) for token in found}
    texts = {str(token) for token in named.values() if token is not None}
    for token in (*named.values(), *extra):
        if token is not None and str(token) not in known:
            found.append(AddedToken(token, special=True) if isinstance(token, str) else token)
    for token in found:
        token.special = token.special or str(token) in texts
    return found


def _sequence(name: str, value: object) -> Sequence[object]:
    if not isinstance(value, (list, tuple)):
        raise ArgumentTypeError(f"{name} must be a list of tokens, not {shown(value)}")
    return value


def _token(name: str, value: object) -> Token:
    if not isinstance(value, (str, AddedToken)):
        raise ArgumentTypeError(f"{name} must be text or an AddedToken, not {shown(value)}")
    return value


def _special(name: str, value: object) -> AddedToken:
    token = _token(name, value)
    if isinstance(token, AddedToken):
        return token
    return AddedToken(token, special=True, normalized=False)
