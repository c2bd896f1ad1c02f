"""What the files of a tokenizer say about it, besides its vocabulary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from autopipe.errors import ConfigError
from autopipe.json_files import read_json_object
from autopipe.wording import shown

from .special import EXTRA, FORMER, NAMES, Token

CONFIG = "tokenizer_config.json"
WHOLE = "tokenizer.json"
"""The file of a complete tokenizer."""

_MAP = "special_tokens_map.json"
_ADDED = "added_tokens.json"
_DECODER = "added_tokens_decoder"
_SPECIFIC = "model_specific_special_tokens"

_MARK = "__type"
"""The entry that marks an object as a token with the rules for matching it."""

_NOT_KEPT = {
    "add_bos_token", "add_eos_token", _DECODER, "device_map", "files_loaded", "init_inputs",
    "is_local", "local_files_only", "merges_file", "name_or_path", "slow_tokenizer_class",
    "special_tokens_map_file", "tokenizer_class", "tokenizer_file", "vocab_file",
}  # fmt: skip
"""Entries that tell how a tokenizer was made, not what it does."""


@dataclass(frozen=True)
class Stored:
    """What the files of a tokenizer say.

    Attributes:
        entries: the entries of its config.
        named: special tokens by name; None for a name without a token.
        extra: further special tokens; None if the files don't say.
        added: the tokens beside those of the model, in the order of their ids.
        padding, truncation: the settings of the backend.
    """

    entries: Mapping[str, Any] = field(default_factory=dict)
    named: Mapping[str, Token | None] = field(default_factory=dict)
    extra: tuple[Token, ...] | None = None
    added: tuple[AddedToken, ...] = ()
    padding: dict[str, Any] | None = None
    truncation: dict[str, Any] | None = None

    @classmethod
    def read(cls, folder: Path, backend: Backend) -> Stored:
        """Read the config in `folder`, and what older releases wrote beside it.

        Args:
            backend: the tokenizer as `tokenizer.json` describes it, or without special tokens.

        Raises:
            ConfigError: if a file can't be read, or a special token is not text.
        """
        content = _read(folder / CONFIG)
        entries = {name: _tokens(one) for name, one in content.items()}
        if entries.get(FORMER) and not entries.get(EXTRA):
            entries[EXTRA] = entries.pop(FORMER)
        if _DECODER in content:
            added = {int(n): AddedToken(**one) for n, one in content[_DECODER].items()}
        else:
            entries |= _from_map(folder, entries.get(EXTRA))
            added = _from_list(folder, entries) | backend.get_added_tokens_decoder()
        for name in _NOT_KEPT:
            entries.pop(name, None)
        former = entries.pop(FORMER, None)
        extra = entries.pop(EXTRA, former)
        specific = entries.pop(_SPECIFIC, None) or {}
        if not isinstance(specific, dict):
            raise ConfigError(
                f"{_SPECIFIC!r} in {folder / CONFIG} must be an object, not {shown(specific)}"
            )
        specific |= extra if isinstance(extra, dict) else {}
        ends = [n for n, one in entries.items() if n.endswith("_token") and _is_token(one)]
        named = {n: entries.pop(n) for n in dict.fromkeys([*ends, *NAMES]) if n in entries}
        named |= specific
        for name, token in named.items():
            if token is not None and not _is_token(token):
                raise ConfigError(f"{name!r} in {folder / CONFIG} is not a token: {shown(token)}")
        texts = {str(token): token for token in added.values()}
        padding, truncation = backend.padding, backend.truncation
        return cls(
            {**_settings(padding, truncation), **entries},
            {name: texts.get(str(token), token) for name, token in named.items()},
            None if extra is None or isinstance(extra, dict) else tuple(extra),
            tuple(token for _, token in sorted(added.items(), key=lambda item: item[0])),
            padding,
            truncation,
        )


def to_text(config: Mapping[str, Any]) -> str:
    """Return the content of a config file, in which tokens with rules are objects."""

    def plain(value: AddedToken) -> dict[str, Any]:
        return {**value.__getstate__(), _MARK: "AddedToken"}

    return json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False, default=plain) + "\n"


def _read(file: Path) -> dict[str, Any]:
    return read_json_object(file) if file.is_file() else {}


def _is_token(value: object) -> bool:
    return isinstance(value, (str, AddedToken))


def _tokens(value: Any) -> Any:
    """Return an entry with the tokens in it as such."""
    if isinstance(value, list):
        return [_tokens(one) for one in value]
    if isinstance(value, dict) and value.get(_MARK) == "AddedToken":
        return AddedToken(**{name: one for name, one in value.items() if name != _MARK})
    return value


def _from_map(folder: Path, extra: object) -> dict[str, Any]:
    """Return the entries of the file in which older releases kept special tokens."""

    def special(value: Any) -> Any:
        return AddedToken(**{**value, "special": True}) if isinstance(value, dict) else value

    found: dict[str, Any] = {}
    for name, value in _read(folder / _MAP).items():
        if name == EXTRA and isinstance(value, list):
            known = extra if isinstance(extra, list) else []
            found[name] = [*known, *(one for one in map(special, value) if one not in known)]
        elif isinstance(value, list):
            found[name] = [special(one) for one in value]
        else:
            found[name] = value if name == EXTRA else special(value)
    return found


def _from_list(folder: Path, entries: Mapping[str, Any]) -> dict[int, AddedToken]:
    """Return the tokens of the file in which older releases kept added tokens."""
    special = {str(entries[name]) for name in NAMES if entries.get(name)}
    special |= {str(one) for one in entries.get(EXTRA) or ()}
    return {
        number: AddedToken(text, normalized=text not in special, special=text in special)
        for text, number in _read(folder / _ADDED).items()
    }


def _settings(padding: Any, truncation: Any) -> dict[str, Any]:
    """Return the entries that follow from the settings of a backend."""
    found: dict[str, Any] = {}
    if padding is not None:
        found |= {
            "max_length": padding["length"],
            "pad_to_multiple_of": padding["pad_to_multiple_of"],
            "pad_token_type_id": padding["pad_type_id"],
            "padding_side": padding["direction"],
        }
    if truncation is not None:
        found |= {
            "max_length": truncation["max_length"],
            "stride": truncation["stride"],
            "truncation_side": truncation["direction"],
            "truncation_strategy": truncation["strategy"],
        }
    return found
