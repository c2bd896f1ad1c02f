"""Reads the vectors of tokens from the tensors of a file, in each published layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from autopipe.checkpoint.attachable import ANY, open_tensors
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import listed, shown

FIRST, SECOND = "text_encoder", "text_encoder_2"

_PARTS: Mapping[str, str] = {"clip_l": FIRST, "clip_g": SECOND}
"""The text encoder of each tensor in files for Stable Diffusion XL."""

_NAMELESS = ("emb_params", "")
"""The names of the only tensor in files that don't name their token."""

_PARAMETERS = "string_to_param"
_NAMES = ("learned_embeds.safetensors", "learned_embeds.bin", *ANY)
"""The files of a folder that are looked for, in this order."""

_LONGEST = 200
"""The largest number of characters of a token."""

_MOST = 1024
"""The largest number of vectors of a token; text encoders read far fewer."""


@dataclass(frozen=True)
class Vectors:
    """The vectors of a file.

    Attributes:
        name: the token that the file names; None if it names none.
        rows: by text encoder, its vectors (R, D). The name of the text encoder is empty where the
            file doesn't tell which one they are for.
        origin: the file, for messages.
    """

    name: str | None
    rows: Mapping[str, Tensor]
    origin: str

    def token(self, given: object = None) -> str:
        """Return how prompts write the token: `given`, or the name in the file.

        Raises:
            ArgumentError: if there is neither, or it can't be a token.
        """
        found = self.name if given is None else given
        if found is None:
            raise ArgumentError(
                f"{self.origin} has vectors but no name for them; give token=, the word that "
                f"stands for them in prompts"
            )
        return _checked_token(found)

    def split(self, count: int) -> list[Vectors]:
        """Return the vectors of each of `count` tokens, of which each has one.

        Raises:
            ArgumentError: if there are more or fewer.
        """
        for rows in self.rows.values():
            if len(rows) != count:
                raise ArgumentError(
                    f"{self.origin} has {len(rows)} vectors, but there are {count} tokens; give "
                    f"a token for each"
                )
        return [
            replace(self, rows={part: rows[[row]] for part, rows in self.rows.items()})
            for row in range(count)
        ]


def open_vectors(source: Any, **options: Any) -> Vectors:
    """Return the vectors of a token.

    Args:
        source: a file, a folder, a repository or what such a file holds: see `open_tensors`. Also
            a tensor (R, D) or (D).
        **options: those of `open_tensors`.

    Raises:
        ArgumentError: if the content has another layout.
        CheckpointError: if the file can't be read.
    """
    given = {"": source} if isinstance(source, Tensor) else source
    file = open_tensors(given, names=_NAMES, **options)
    found = read_vectors(file.content, file.origin)
    if found.name is None and file.path is not None:
        # As where such files come from: the name of the file stands for it.
        return replace(found, name=Path(file.origin).stem)
    return found


def read_vectors(content: Mapping[str, Any], origin: str) -> Vectors:
    """Return the vectors of the one token that `content` holds.

    Raises:
        ArgumentError: if it has another layout.
    """
    name, rows = _laid_out(content, origin)
    return Vectors(name, {part: _rows(one, origin) for part, one in rows.items()}, origin)


def _checked_token(token: object) -> str:
    """Return `token` if it can be one.

    Raises:
        ArgumentTypeError: if it is not text.
        ArgumentError: if it is empty, surrounded by spaces, too long or not printable.
    """
    if not isinstance(token, str):
        raise ArgumentTypeError(f"a token must be text, not {shown(token)}; give token=")
    if not token or token != token.strip() or len(token) > _LONGEST or not token.isprintable():
        raise ArgumentError(
            f"{shown(token)} can't be a token; give token= with 1 to {_LONGEST} printable "
            f"characters, without spaces around them"
        )
    return token


def _laid_out(content: Mapping[str, Any], origin: str) -> tuple[str | None, Mapping[str, Any]]:
    """Return the name of the token, if the content gives one, and the vectors by text encoder."""
    if _PARAMETERS in content:
        # Of AUTOMATIC1111's web UI; the token of the training is always "*".
        inner = content[_PARAMETERS]
        if not isinstance(inner, Mapping) or len(inner) != 1:
            raise ArgumentError(
                f"{origin} must have one tensor in {_PARAMETERS!r}, not {shown(inner)}"
            )
        return content.get("name"), {"": next(iter(inner.values()))}
    if content and all(name in _PARTS for name in content):
        return None, {_PARTS[name]: one for name, one in content.items()}
    if len(content) != 1:
        raise ArgumentError(
            f"{origin} has {len(content)} entries ({listed(content, 4) or 'none'}), but vectors of "
            f"a token are one tensor, {' and '.join(map(repr, _PARTS))}, or {_PARAMETERS!r}; if it "
            f"has several tokens, load each by itself: load_textual_inversion({{token: tensor}})"
        )
    ((name, tensor),) = content.items()
    return None if name in _NAMELESS else str(name), {"": tensor}


def _rows(tensor: object, origin: str) -> Tensor:
    """Return vectors as (R, D)."""
    if not isinstance(tensor, Tensor):
        raise ArgumentTypeError(f"the vectors in {origin} must be a tensor, not {shown(tensor)}")
    rows = tensor[None] if tensor.ndim == 1 else tensor
    if rows.ndim != 2 or not rows.numel() or len(rows) > _MOST or not rows.is_floating_point():
        raise ArgumentError(
            f"the vectors in {origin} must be 1 to {_MOST} rows of numbers, not {shown(tensor)} "
            f"of {tensor.dtype}"
        )
    return rows.detach()
