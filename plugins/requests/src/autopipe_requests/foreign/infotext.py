"""The text `parameters` of AUTOMATIC1111's web UI, apart from what it means.

It is the prompt, which may have several lines, `Negative prompt: ...` up to the last line, and the
last line with pairs: `Steps: 20, Sampler: Euler, ...`. A value with a comma, a colon or a line
break is a JSON string. Civitai writes objects and lists of JSON as they are.

Source: `modules/infotext_utils.py` of stable-diffusion-webui-forge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress

from .found import checked

_NEGATIVE = "Negative prompt:"
_FEWEST, _MOST = 3, 1000
"""How many pairs make the last line one of settings, and how many are read."""

_KEY = re.compile(r"\w[\w \-/]{1,99}$")
_STRING = re.compile(r'"(?:\\.|[^\\"])*"(?=\s*(?:,|$))')


def split(text: str) -> tuple[str, str, dict[str, str]]:
    """Return the prompt, the negative prompt and the settings; of a repeated key the last value.

    Raises:
        ArgumentError: if the text is longer than any program writes.
    """
    *lines, last = checked(text, "'parameters'").strip().split("\n")
    pairs = pairs_of(last)
    if len(pairs) < _FEWEST:
        lines, pairs = [*lines, last], []
    prompts: tuple[list[str], list[str]] = ([], [])
    is_negative = False
    for line in map(str.strip, lines):
        if line.startswith(_NEGATIVE):
            is_negative, line = True, line.removeprefix(_NEGATIVE).strip()
        prompts[is_negative].append(line)
    positive, negative = map("\n".join, prompts)
    return positive, negative, dict(pairs)


def pairs_of(line: str) -> list[tuple[str, str]]:
    """Return the pairs of a line of settings."""
    found: list[tuple[str, str]] = []
    at = 0
    while len(found) < _MOST and (colon := line.find(":", at)) >= 0:
        key = _KEY.search(line[max(at, colon - 100) : colon])
        at = colon + 1
        if key is not None:
            value, at = _value(line, at)
            found.append((key[0], value))
    return found


def _value(line: str, start: int) -> tuple[str, int]:
    """Return the value that begins at `start`, and where the next pair begins."""
    while line[start : start + 1] == " ":
        start += 1
    end = -1
    text = None
    if line.startswith('"', start) and (string := _STRING.match(line, start)):
        end = string.end()
        with suppress(ValueError):
            text = json.loads(string[0])
    elif line.startswith(("{", "["), start):
        with suppress(ValueError, RecursionError):
            end = json.JSONDecoder().raw_decode(line, start)[1]
    comma = line.find(",", max(start, end))
    stop = len(line) if comma < 0 else comma
    return (line[start:stop].strip() if text is None else text), stop + 1


def joined(positive: str, negative: str, pairs: Mapping[str, str]) -> str:
    """Return `parameters`, so that `split` returns the same."""
    lines = [positive, *([f"{_NEGATIVE} {negative}"] if negative else [])]
    settings = ", ".join(f"{key}: {_quoted(value)}" for key, value in pairs.items())
    return "\n".join([*lines, settings])


def _quoted(value: str) -> str:
    is_plain = value and value.strip() == value and not re.search(r'[,:\n]|^["{\[]', value)
    return value if is_plain else json.dumps(value, ensure_ascii=False)
