"""Checks that a tokenizer works.

transformers loads a tokenizer without a vocabulary and doesn't warn; all words then have the same
tokens. So each tokenizer is tried on words of its vocabulary when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import AutopipeError, ConfigError, DamagedFileError
from ...kinds import BaseProcessor
from ...wording import shown

CONFIG = "tokenizer_config.json"

_SAMPLE = 100
"""The number of tokens that are tried, at the end of the vocabulary and spread over it."""


def is_tokenizer(found: object) -> bool:
    """Whether `found` is a tokenizer of transformers, or one in place of it."""
    if isinstance(found, BaseProcessor):
        return hasattr(found, "vocab_files_names")
    return any(
        base.__module__ == "transformers.tokenization_utils_base"
        and base.__name__ == "PreTrainedTokenizerBase"
        for base in type(found).__mro__
    )


def check_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Try a tokenizer loaded from `folder` in the way that pipelines use it.

    Raises:
        ConfigError: if an entry of its config makes it unusable.
        DamagedFileError: if its vocabulary is absent or incomplete.
    """
    config = folder / CONFIG
    if tokenizer.pad_token_id is None:
        raise ConfigError(
            f"'pad_token' in {config} is {shown(tokenizer.pad_token)}, which is not in the "
            f"vocabulary; texts are padded, so give a token that is"
        )
    if "attention_mask" not in tokenizer.model_input_names:
        raise ConfigError(
            f"'model_input_names' in {config} is {shown(tokenizer.model_input_names)}, which lacks "
            f"'attention_mask'; add it"
        )
    needed = tokenizer.num_special_tokens_to_add()
    if tokenizer.model_max_length <= needed:
        raise ConfigError(
            f"'model_max_length' in {config} is {shown(tokenizer.model_max_length)}, which must be "
            f"more than the {needed} special tokens of each text; correct it"
        )
    check_vocabulary(tokenizer, folder)
    with _as_it_was(tokenizer), _telling(tokenizer, folder):
        length = int(min(tokenizer.model_max_length, 2 * needed + 2))
        tokens = tokenizer(["a", "b a b"], padding="max_length", max_length=length,
                           truncation=True)  # fmt: skip
        fits = all(len(row) == length for row in (*tokens.input_ids, *tokens.attention_mask))
    if not fits:
        raise ConfigError(
            f"with {config}, texts don't have the requested number of tokens; correct it"
        )


def check_vocabulary(tokenizer: Any, folder: Path) -> None:
    """Try a tokenizer loaded from `folder` on its own words.

    Raises:
        ConfigError: if an entry of its config makes it unusable.
        DamagedFileError: if its vocabulary is absent or incomplete.
    """
    with _as_it_was(tokenizer), _telling(tokenizer, folder):
        _check_vocabulary(tokenizer, folder)


@contextmanager
def _telling(tokenizer: Any, folder: Path) -> Iterator[None]:
    """Raise `ConfigError` for any other error."""
    try:
        yield
    except AutopipeError:
        raise
    except Exception as error:
        raise ConfigError(
            f"{type(tokenizer).__name__} from {folder} can't tokenize a text "
            f"({type(error).__name__}); an entry of {CONFIG} is wrong, or a file is "
            f"damaged. Fetch the checkpoint again"
        ) from error


def _check_vocabulary(tokenizer: Any, folder: Path) -> None:
    count, special = len(tokenizer), set(tokenizer.all_special_ids)
    every = {*range(0, count, max(1, count // _SAMPLE)), *range(max(0, count - _SAMPLE), count)}
    words = {tokenizer.decode([one]).strip() for one in sorted(every - special)} - {""}
    tokens = {word: tuple(tokenizer(word, add_special_tokens=False).input_ids) for word in words}
    names = ", ".join(sorted({*type(tokenizer).vocab_files_names.values()}))
    if len(set(tokens.values())) < 2:
        raise DamagedFileError(
            f"the tokenizer in {folder} has no vocabulary, so all texts would have the same "
            f"tokens; fetch its files again ({names})"
        )
    longer = [word for word in words if len(word) > 1]
    if longer and all(len(tokens[word]) >= len(word) for word in longer):
        raise DamagedFileError(
            f"the tokenizer in {folder} splits the words of its vocabulary into letters, so a file "
            f"is absent or empty; fetch its files again ({names})"
        )


@contextmanager
def _as_it_was(tokenizer: Any) -> Iterator[None]:
    """Restore the padding and truncation that a call changes in a tokenizer, and that it saves."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    padding, truncation = getattr(backend, "padding", None), getattr(backend, "truncation", None)
    try:
        yield
    finally:
        if backend is not None:
            backend.no_padding() if padding is None else backend.enable_padding(**padding)
            if truncation is None:
                backend.no_truncation()
            else:
                backend.enable_truncation(**truncation)
