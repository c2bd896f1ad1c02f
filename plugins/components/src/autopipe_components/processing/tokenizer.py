"""The base of tokenizers on the `tokenizers` package."""

from __future__ import annotations

import copy
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from tokenizers import Tokenizer as Backend
from tokenizers.models import Model

from autopipe.errors import ArgumentError, ConfigError
from autopipe.wording import listed, shown

from .calls import Calls
from .layout import UNLIMITED, set_padding, set_truncation
from .special import EXTRA, NAMES, Token, to_add
from .stored import CONFIG, WHOLE, Stored, to_text

_Self = TypeVar("_Self", bound="Tokenizer")


class Tokenizer(Calls):
    """Turns texts into token ids and back, as the class of transformers that has its name.

    `to_transformers()` gives that one, for what this one lacks. Any number of threads may use a
    tokenizer at once.

    Attributes:
        vocab_files_names: the files of a vocabulary.
        model: the kind of model that these files hold.
        defaults: the named special tokens unless the config has others.
        input_names: what a call returns for each text, unless the config has others.
        name_or_path: where it was loaded from.
        init_kwargs: the entries of its config, without special tokens.
    """

    vocab_files_names: ClassVar[Mapping[str, str]]
    model: ClassVar[type[Model]]
    defaults: ClassVar[Mapping[str, str]]
    input_names: ClassVar[tuple[str, ...]] = ("input_ids", "attention_mask")
    is_fast = True

    def __init__(self, backend: Backend, stored: Stored, name_or_path: str = "") -> None:
        """Make a tokenizer.

        Args:
            backend: the model, without special tokens.
            stored: what the files of the tokenizer say about it.
        """
        self._named = {**dict.fromkeys(NAMES), **self.defaults, **stored.named}
        self._extra = [*(stored.extra or ())]
        entries = self.init_kwargs = {**stored.entries}
        self.name_or_path = name_or_path
        length = entries.get("model_max_length", entries.get("max_len"))
        self.model_max_length = UNLIMITED if length is None else length
        self.padding_side = entries.get("padding_side", "right")
        self.truncation_side = entries.get("truncation_side", "right")
        names = entries.get("model_input_names", self.input_names)
        self.model_input_names = [*names]
        self.clean_up_tokenization_spaces = bool(entries.get("clean_up_tokenization_spaces"))
        self.split_special_tokens = bool(entries.get("split_special_tokens"))
        self._warned = False
        self._lock = threading.Lock()
        self._tokenizer = backend
        self._prepare(backend)
        backend.add_tokens(to_add(stored.added, self._named, self._extra))
        self._finish(backend)
        set_truncation(backend, stored.truncation)
        set_padding(backend, stored.padding)

    def _prepare(self, backend: Backend) -> None:
        """Set what happens to a text before the model sees it, and after decoding."""
        raise NotImplementedError

    def _finish(self, backend: Backend) -> None:
        """Set how special tokens surround a text. They have ids now."""
        raise NotImplementedError

    def _needed(self, name: str) -> tuple[str, int]:
        """Return the special token `name` and its id."""
        token, number = getattr(self, name), getattr(self, f"{name}_id")
        if number is None:
            raise ConfigError(
                f"{CONFIG} in {self.name_or_path} has null for {name}, but {type(self).__name__} "
                f"puts that token around texts; give one"
            )
        return token, number

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, subfolder: str = "") -> Any:
        """Load the tokenizer in a local folder.

        If there is only a model of SentencePiece, transformers converts it, and its object is
        returned.

        Raises:
            ArgumentError: if there is no such folder.
            ConfigError: if its files don't describe a tokenizer of this class.
        """
        path = Path(folder, subfolder)
        if not path.is_dir():
            raise ArgumentError(
                f"{shown(str(path))} is not a folder, and {cls.__name__} loads from local folders "
                f"only; transformers.{cls.__name__} loads from the Hub"
            )
        backend = cls._backend(path)
        if backend is None:
            return _with_transformers(cls, path)
        if not isinstance(backend.model, cls.model):
            raise ConfigError(
                f"{path} has a vocabulary of the kind {type(backend.model).__name__}, but "
                f"{cls.__name__} needs {cls.model.__name__}"
            )
        return cls(*cls._made(backend, Stored.read(path, backend)), str(path))

    @classmethod
    def _backend(cls, folder: Path) -> Backend | None:
        """Read the vocabulary in `folder`; None if only transformers can."""
        whole = folder / WHOLE
        return Backend.from_file(str(whole)) if whole.is_file() else None

    @classmethod
    def _made(cls, backend: Backend, stored: Stored) -> tuple[Backend, Stored]:
        """Return what the constructor takes, of what the files hold."""
        return Backend(backend.model), stored

    def save_pretrained(self, save_directory: str | Path) -> tuple[str, ...]:
        """Write `tokenizer_config.json` and `tokenizer.json`, and return their paths."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        set_again = {name: vars(self)[name] for name in self.init_kwargs if name in vars(self)}
        config = {
            **self.init_kwargs,
            **set_again,
            **self.special_tokens_map,
            **({EXTRA: self.extra_special_tokens} if self._extra else {}),
            "backend": "tokenizers",
            "model_max_length": self.model_max_length,
            "tokenizer_class": type(self).__name__,
        }
        (folder / CONFIG).write_text(to_text(config), encoding="utf-8")
        with self._lock:
            self._tokenizer.save(str(folder / WHOLE))
        return str(folder / CONFIG), str(folder / WHOLE)

    def with_tokens(self: _Self, tokens: Sequence[Token]) -> _Self:
        """Return a tokenizer with further tokens at the end of the vocabulary of this one.

        Both share the vocabulary, so it takes no time and no memory.

        Raises:
            ArgumentError: if a token is in the vocabulary already.
        """
        known = self.get_vocab()
        if taken := [str(token) for token in tokens if str(token) in known]:
            raise ArgumentError(f"the vocabulary has {listed(taken, 3)} already; use other names")
        made = copy.copy(self)
        own = {"_named": {**self._named}, "_extra": [*self._extra]}
        vars(made).update(own, init_kwargs={**self.init_kwargs})
        with self._lock:
            old, backend = self._tokenizer, Backend(self._tokenizer.model)
            parts = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
            for name in parts:
                if getattr(old, name) is not None:
                    setattr(backend, name, getattr(old, name))
            added = [*self.added_tokens_decoder.values()]
            set_truncation(backend, old.truncation)
            set_padding(backend, old.padding)
        backend.add_tokens([*added, *tokens])
        made._tokenizer = backend
        return made

    def to_transformers(self) -> Any:
        """Return a tokenizer of transformers with the vocabulary and settings of this one."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            found = _with_transformers(type(self), Path(folder))
        found.name_or_path = self.name_or_path
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, "
            f"vocab_size={self.vocab_size}, model_max_length={self.model_max_length}, "
            f"padding_side={self.padding_side!r}, truncation_side={self.truncation_side!r}, "
            f"special_tokens={self.special_tokens_map})"
        )


def _with_transformers(cls: type[Tokenizer], folder: Path) -> Any:
    """Load `folder` by the class of transformers that has the name of `cls`."""
    import transformers

    names = [base.__name__ for base in cls.__mro__ if hasattr(transformers, base.__name__)]
    return getattr(transformers, names[0]).from_pretrained(str(folder), local_files_only=True)
