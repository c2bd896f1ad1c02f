"""The add-on that gives one word of prompts its own vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from autopipe.attaching.attachment import Attachment, Encode
from autopipe.attaching.network_view import Answer, Replacement
from autopipe.errors import ArgumentError
from autopipe.pipeline.turns import guard
from autopipe.wording import listed, shown
from autopipe_components.steps.prompt import expanded
from autopipe_components.steps.tokens import tokenizer_of

from .table import LongerTable
from .tokens import LongerTokenizers, names_of
from .vectors import FIRST, Vectors, open_vectors


class TextualInversion(Attachment):
    """A token of prompts, with its vectors for one text encoder or several.

    While it is active, the tokenizers of the pipeline have the token and the tables of its text
    encoders the vectors. Both are shown by the attributes `tokenizer` and `text_encoder`. The
    components themselves, which other pipelines share, stay as they are.

    Attributes:
        token: how prompts write it.
    """

    weights: nn.ParameterDict
    # Innermost: what changes texts or weights words comes before.
    order = -100

    def __init__(
        self, source: Any, *, token: str | None = None, component: str = FIRST, **options: Any
    ) -> None:
        """Read the vectors.

        Args:
            source: a file, a folder, a repository, a state dict or a tensor: see `open_vectors`.
            token: how prompts write the token; None for the name that the file gives, or that of
                the file.
            component: the text encoder that the vectors are for, if the file doesn't tell.
            **options: those of `open_tensors`, such as `weight_name`.
        """
        vectors = source if isinstance(source, Vectors) else open_vectors(source, **options)
        self.name = self.token = vectors.token(token)
        rows = {part or component: one for part, one in vectors.rows.items()}
        self.weights = nn.ParameterDict(
            {name: nn.Parameter(one.clone(), requires_grad=False) for name, one in rows.items()}
        )
        self._tokenizers = {
            tokenizer_of(name): LongerTokenizers(names_of(self.token, len(one)))
            for name, one in rows.items()
        }
        self._unused: dict[str, int] = {}

    @property
    def encoders(self) -> tuple[str, ...]:
        """The names of the text encoders for which it has vectors."""
        return tuple(self.weights)

    def tokens(self, component: str) -> list[str]:
        """Return the names of its vectors in the tokenizer of a text encoder."""
        return names_of(self.token, len(self.weights[component]))

    def without(self, component: str) -> TextualInversion | None:
        """Return this token without its vectors for a text encoder; None if it had no others."""
        rows = {name: one for name, one in self.weights.items() if name != component}
        return TextualInversion(Vectors(self.token, rows, self.token)) if rows else None

    def origin_of(self, tokenizer: Any) -> Any:
        """Return the tokenizer of which `tokenizer` is a copy with this token, or None."""
        origins = (one.come_from(tokenizer) for one in self._tokenizers.values())
        return next((one for one in origins if one is not None), None)

    def check(self, pipe: Any) -> None:
        """Check that the pipeline has the text encoders, and that nothing has this name there.

        Raises:
            ArgumentError: if not, or if the vectors have another width than the text encoder.
        """
        unused = {}
        for component in self.encoders:
            encoder = getattr(pipe, component, None)
            tokenizer = getattr(pipe, tokenizer_of(component), None)
            if encoder is None or tokenizer is None:
                raise ArgumentError(
                    f"{shown(self.token)} has vectors for {component}, but this "
                    f"{type(pipe).__name__} has no {component} or no {tokenizer_of(component)}"
                )
            table = table_of(pipe.components[component])
            if table is None:
                raise ArgumentError(
                    f"{component}, a {type(encoder).__name__}, has no table of embeddings to which "
                    f"the vectors of {shown(self.token)} could be added"
                )
            self._check_width(pipe, component)
            self._check_new(tokenizer, component)
            words = len(pipe.components[tokenizer_of(component)])
            unused[component] = table.num_embeddings - words
            if unused[component] < 0:
                raise ArgumentError(
                    f"the vocabulary of {tokenizer_of(component)} has {words} tokens, but "
                    f"{component} has only {table.num_embeddings} vectors; call "
                    f"pipe.{component}.resize_token_embeddings({words}) first"
                )
        self._unused = unused

    def _check_width(self, pipe: Any, component: str) -> None:
        width = self.weights[component].shape[1]
        if width == _width(pipe, component):
            return
        others = [n for n in pipe.components if n.startswith(FIRST) and _width(pipe, n) == width]
        hint = (
            f"they fit {others[0]}: give text_encoder=pipe.{others[0]} and "
            f"tokenizer=pipe.{tokenizer_of(others[0])}"
            if others
            else "they were made for another kind of model"
        )
        raise ArgumentError(
            f"the vectors of {shown(self.token)} have the width {width}, but those of {component} "
            f"{_width(pipe, component)}; {hint}"
        )

    def _check_new(self, tokenizer: Any, component: str) -> None:
        known = tokenizer.get_vocab()
        # TOKEN_1 beside a single vector would make it one of two.
        taken = [one for one in (*self.tokens(component), f"{self.token}_1") if one in known]
        if taken:
            raise ArgumentError(
                f"{listed(taken, 3)} is already in the vocabulary of {tokenizer_of(component)}; "
                f"give another token=, or unload it first"
            )

    def check_strength(self, value: Any) -> float:
        """Return 1 or 0.

        Raises:
            ArgumentError: if it is another value.
        """
        if isinstance(value, (bool, int, float)) and value in (0, 1):
            return float(value)
        raise ArgumentError(
            f"the strength of {shown(self.token)} is {shown(value)}, but a token is on (1) or off "
            f"(0); to weaken it, weight the word in the prompt"
        )

    def replaces(self, component: str, value: Any, strength: Any) -> Any:
        """Return the tokenizers with the token."""
        longer = self._tokenizers.get(component)
        return value if longer is None else longer.of(value)

    def answers(self, component: str, network: nn.Module, strength: Any) -> Mapping[str, Answer]:
        """Return tables with the vectors."""
        if component not in self.weights:
            return {}
        table = table_of(network)
        rows, unused = self.weights[component], self._unused[component]

        def longer(layer: nn.Module) -> nn.Module:
            # A table that another token made longer has no unused rows any more.
            return LongerTable(layer, rows, 0 if isinstance(layer, LongerTable) else unused)

        return {
            path: Replacement(longer)
            for path, module in network.named_modules(remove_duplicate=False)
            if module is table
        }

    def encode(self, run: Any, component: str, encode: Encode, strength: Any) -> Encode:
        """Return `encode` for texts in which the token stands for all of its vectors."""
        if component not in self.weights or len(self.weights[component]) == 1:
            return encode
        tokenizer = getattr(run, tokenizer_of(component))

        def encoded(texts: Any, *args: Any, **options: Any) -> Any:
            with guard(tokenizer):
                whole = [expanded(t, tokenizer) if isinstance(t, str) else t for t in texts]
            return encode(whole, *args, **options)

        return encoded


def _width(pipe: Any, component: str) -> int | None:
    """Return the width of the vectors of a text encoder; None if there is none."""
    table = table_of(pipe.components[component])
    return None if table is None else table.embedding_dim


def table_of(encoder: Any) -> nn.Embedding | None:
    """Return the table of embeddings of a text encoder; None if it has none, or is None."""
    find = getattr(encoder, "get_input_embeddings", None)
    found = None if find is None else find()
    return found if isinstance(found, nn.Embedding) else None
