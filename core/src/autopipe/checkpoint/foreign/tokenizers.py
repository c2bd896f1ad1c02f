"""Whether a tokenizer of transformers can be used.

A tokenizer whose vocabulary is lost is made without a complaint, and gives all words the same
tokens. So each is tried, on words of its own, when it is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import AutopipeError, ConfigError, DamagedFileError
from ...wording import shown

CONFIG = "tokenizer_config.json"

_SAMPLE = 100
"""How many tokens of a vocabulary are tried, at its end and in all of it."""


def is_tokenizer(found: object) -> bool:
    """Whether `found` is a tokenizer of transformers, or one built on its base class."""
    return any(
        base.__module__ == "transformers.tokenization_utils_base"
        and base.__name__ == "PreTrainedTokenizerBase"
        for base in type(found).__mro__
    )


def check_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Try a tokenizer that was loaded from `folder`, as pipelines use it.

    Raises:
        ConfigError: an entry of its config makes it useless.
        DamagedFileError: it has no vocabulary, or not all of it.
    """
    config = folder / CONFIG
    if tokenizer.pad_token_id is None:
        raise ConfigError(
            f"{config} has {shown(tokenizer.pad_token)} as its 'pad_token', which is not in the "
            f"vocabulary, and texts are padded; give a token that is"
        )
    if "attention_mask" not in tokenizer.model_input_names:
        raise ConfigError(
            f"{config} has {shown(tokenizer.model_input_names)} as its 'model_input_names', which "
            f"lack 'attention_mask'; add it"
        )
    needed = tokenizer.num_special_tokens_to_add()
    if tokenizer.model_max_length <= needed:
        raise ConfigError(
            f"{config} has {shown(tokenizer.model_max_length)} as its 'model_max_length', and "
            f"{needed} of these tokens are not of the text; correct it"
        )
    with _as_it_was(tokenizer):
        try:
            _check_vocabulary(tokenizer, folder)
            length = int(min(tokenizer.model_max_length, 2 * needed + 2))
            tokens = tokenizer(["a", "b a b"], padding="max_length", max_length=length,
                               truncation=True)  # fmt: skip
            fits = all(len(row) == length for row in (*tokens.input_ids, *tokens.attention_mask))
        except AutopipeError:
            raise
        except Exception as error:
            raise ConfigError(
                f"{type(tokenizer).__name__} from {folder} can't read a text "
                f"({type(error).__name__}); an entry of {config.name} is wrong, or a file is "
                f"damaged: fetch the checkpoint again"
            ) from error
    if not fits:
        raise ConfigError(f"{config} lets texts have other lengths than asked for; correct it")


def _check_vocabulary(tokenizer: Any, folder: Path) -> None:
    count, special = len(tokenizer), set(tokenizer.all_special_ids)
    every = {*range(0, count, max(1, count // _SAMPLE)), *range(max(0, count - _SAMPLE), count)}
    words = {tokenizer.decode([one]).strip() for one in sorted(every - special)} - {""}
    tokens = {word: tuple(tokenizer(word, add_special_tokens=False).input_ids) for word in words}
    names = ", ".join(sorted({*type(tokenizer).vocab_files_names.values()}))
    if len(set(tokens.values())) < 2:
        raise DamagedFileError(
            f"the tokenizer in {folder} has no vocabulary, so all texts would be the same to it; "
            f"fetch its files again ({names})"
        )
    longer = [word for word in words if len(word) > 1]
    if longer and all(len(tokens[word]) >= len(word) for word in longer):
        raise DamagedFileError(
            f"the tokenizer in {folder} knows words and reads them letter by letter, so part of "
            f"its files is absent or empty; fetch them again ({names})"
        )


@contextmanager
def _as_it_was(tokenizer: Any) -> Iterator[None]:
    """Undo what a call does to a tokenizer: its last lengths are kept, and saved with it."""
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
