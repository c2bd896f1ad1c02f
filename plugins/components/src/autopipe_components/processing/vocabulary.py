"""The vocabulary of a tokenizer, read and extended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from .special import SpecialTokens, Token


class Vocabulary(SpecialTokens):
    """Converts between tokens and ids; `len` counts all tokens."""

    _tokenizer: Backend

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    def __bool__(self) -> bool:
        return True

    @property
    def backend_tokenizer(self) -> Backend:
        """The object of the `tokenizers` package that does the work."""
        return self._tokenizer

    @property
    def vocab_size(self) -> int:
        """The number of tokens without added ones."""
        return self._tokenizer.get_vocab_size(with_added_tokens=False)

    @property
    def vocab(self) -> dict[str, int]:
        """All tokens with their ids."""
        return self.get_vocab()

    def get_vocab(self) -> dict[str, int]:
        """Return all tokens with their ids."""
        return self._tokenizer.get_vocab(with_added_tokens=True)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The tokens beside those of the model, by id: special and added ones."""
        found: dict[int, AddedToken] = self._tokenizer.get_added_tokens_decoder()
        return dict(sorted(found.items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The ids of the tokens beside those of the model."""
        return {token.content: number for number, token in self.added_tokens_decoder.items()}

    def get_added_vocab(self) -> dict[str, int]:
        """Return the ids of the tokens beside those of the model."""
        return self.added_tokens_encoder

    def add_tokens(self, new_tokens: Token | Sequence[Token], special_tokens: bool = False) -> int:
        several = new_tokens if isinstance(new_tokens, (list, tuple)) else [new_tokens]
        add = self._tokenizer.add_special_tokens if special_tokens else self._tokenizer.add_tokens
        return add([*several])

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(str(token)) for token in tokens]
        found = self._tokenizer.token_to_id(tokens)
        unknown = self._named.get("unk_token")
        if found is None and unknown is not None:
            found = self._tokenizer.token_to_id(str(unknown))
        return found

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        if isinstance(ids, int):
            return self._tokenizer.id_to_token(ids)
        skipped = {*self.all_special_ids} if skip_special_tokens else {*()}
        plain = (int(one) for one in ids)
        return [self._tokenizer.id_to_token(one) for one in plain if one not in skipped]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Return the text of tokens."""
        decoder = self._tokenizer.decoder
        return " ".join(tokens) if decoder is None else decoder.decode(tokens)

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens a row has, by default a row of one text."""
        return self._tokenizer.num_special_tokens_to_add(pair)
