"""A byte-pair vocabulary in CLIP's format in which every word of the captions is one token."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import CLIPTokenizer

from .models import TEXT_LENGTH
from .shapes import vocabulary

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"

Pair = tuple[str, str]


def byte_alphabet() -> list[str]:
    """The 256 characters that stand for bytes in the byte-level vocabularies of GPT-2 and CLIP.

    Printable Latin-1 bytes stand for themselves, the others for the characters from U+0100 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def merges(words: list[str]) -> list[Pair]:
    """Byte-pair merges, by rank, after which each of `words` is a single symbol."""
    ranked: list[Pair] = []
    for word in words:
        symbols = apply(ranked, [*word[:-1], word[-1] + WORD_END])
        while len(symbols) > 1:
            ranked.append((symbols[0], symbols[1]))
            symbols = apply(ranked[-1:], symbols)
    return ranked


def apply(ranked: list[Pair], symbols: list[str]) -> list[str]:
    """Join neighbouring symbols, one merge after the other in the order of rank."""
    for left, right in ranked:
        joined: list[str] = []
        for symbol in symbols:
            if joined and (joined[-1], symbol) == (left, right):
                joined[-1] = left + right
            else:
                joined.append(symbol)
        symbols = joined
    return symbols


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write `vocab.json` and `merges.txt` to `folder` and open them as a `CLIPTokenizer`."""
    ranked = merges(vocabulary())
    letters = byte_alphabet()
    tokens = [
        *letters,
        *(letter + WORD_END for letter in letters),
        *(left + right for left, right in ranked),
        START,
        END,
    ]
    folder.mkdir(parents=True, exist_ok=True)
    numbered = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(numbered, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in ranked)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return CLIPTokenizer(
        vocab=str(folder / "vocab.json"),
        merges=str(folder / "merges.txt"),
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        model_max_length=TEXT_LENGTH,
    )
