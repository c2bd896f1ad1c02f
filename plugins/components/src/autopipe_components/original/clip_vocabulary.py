"""The vocabulary of CLIP, which follows from its merges.

The merges are those of OpenAI's CLIP (github.com/openai/CLIP, MIT licence, copyright 2021 OpenAI),
compressed. The licence is in `LICENSE-CLIP`.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MERGES = "clip_merges.txt.gz"
_END = "</w>"
_PRINTABLE = (*range(33, 127), *range(161, 173), *range(174, 256))
"""The bytes that stand for themselves; the others get characters from 256 on."""

_CONFIG = {
    "add_prefix_space": False,
    "bos_token": "<|startoftext|>",
    "do_lower_case": True,
    "eos_token": "<|endoftext|>",
    "errors": "replace",
    "model_max_length": 77,
    "tokenizer_class": "CLIPTokenizer",
    "unk_token": "<|endoftext|>",
}


def clip_vocabulary(merges: str) -> dict[str, int]:
    """Return the ids of all tokens: bytes, bytes at the end of a word, merges, special tokens.

    Args:
        merges: the content of a `merges.txt`.
    """
    characters = [chr(byte) for byte in _PRINTABLE]
    characters += [chr(256 + i) for i in range(256 - len(characters))]
    lines = (line for line in merges.split("\n")[1:] if line)
    tokens = [
        *characters,
        *(one + _END for one in characters),
        *(line.replace(" ", "") for line in lines),
        _CONFIG["bos_token"],
        _CONFIG["eos_token"],
    ]
    return {str(token): number for number, token in enumerate(tokens)}


def clip_tokenizer(
    folder: str, padding: str = "<|endoftext|>"
) -> dict[str, dict[str, Any] | Callable[[], bytes]]:
    """Return the files of CLIP's tokenizer, by path: a config, and functions that return bytes.

    Args:
        folder: the folder in which they are.
        padding: the token that fills up short prompts.
    """
    return {
        f"{folder}/merges.txt": _merges,
        f"{folder}/vocab.json": _vocabulary,
        f"{folder}/tokenizer_config.json": {**_CONFIG, "pad_token": padding},
    }


@functools.cache
def _merges() -> bytes:
    return gzip.decompress(Path(__file__).with_name(_MERGES).read_bytes())


@functools.cache
def _vocabulary() -> bytes:
    return json.dumps(clip_vocabulary(_merges().decode())).encode()
