"""Text that comes from elsewhere, made fit for a message, a log and a terminal.

Names and values of checkpoints, plugins, files and callers may hold anything: an escape sequence
that recolours a terminal, a character that turns the reading direction around, half a surrogate
pair that no encoding takes, a million letters. `clean` shows such characters escaped, `shown` and
`listed` cut as well. Errors of this library clean their whole message, and so does a `logger`, so
code that raises or logs need only think of length and of line breaks.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Iterable
from typing import Any

_FORMATS = frozenset(
    [0x061C, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF]
)
"""Marks of direction and of line and paragraph ends, and what has no width (Unicode TR 36)."""

_LONGEST_MESSAGE = 4000


def clean(text: str, keep: str = "\n") -> str:
    """`text` with control, format and surrogate characters escaped, but for those in `keep`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in keep else _escaped(one) for one in text)


def message(text: str) -> str:
    """`text` as a whole message: clean, and its middle left out where it is absurdly long."""
    if len(text) > _LONGEST_MESSAGE:
        text = cut(text, _LONGEST_MESSAGE)
    return clean(text)


def cut(text: str, most: int = 80) -> str:
    """`text`, or its two ends around `...` where it has more than `most` characters."""
    if len(text) <= most:
        return text
    tail = (most - 3) // 3
    return f"{text[: most - 3 - tail]}...{text[len(text) - tail :]}"


def shown(value: object, most: int = 80) -> str:
    """`value` for a message: its `repr` on one line, clean, at most `most` characters.

    A large container is not written out to be cut: its `repr` is made of few of its items. An
    object whose `repr` raises is told by its class.
    """
    limits = reprlib.Repr()
    limits.maxstring = limits.maxother = limits.maxlong = most
    limits.maxlist = limits.maxtuple = limits.maxdict = limits.maxset = 6
    if isinstance(value, str):
        value = cut(value, most - 2)
    elif type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "shape"):
        return f"a tensor of shape {cut(str(tuple(value.shape)), most)}"
    return cut(clean(limits.repr(value), keep=""), most)


def listed(names: Iterable[Any], most: int = 10) -> str:
    """`names`, clean and cut, joined by commas; of more than `most` the first, and how many more.

    The names stand as they are, without quotes.
    """
    every = [cut(clean(str(name), keep="")) for name in names]
    rest = len(every) - most
    return ", ".join(every) if rest <= 0 else f"{', '.join(every[:most])} and {rest} more"


def reason(error: BaseException) -> str:
    """Kind and text of an error, for a message; the kind alone where the text can't be had."""
    kind, text = type(error).__name__, said(error)
    return kind if text in ("", kind) else f"{kind}: {cut(text, 1000)}"


def said(error: BaseException) -> str:
    """The text of an error, or its kind where the text can't be had."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return type(error).__name__


def logger(name: str) -> logging.Logger:
    """The logger of a module; what it logs is clean and bounded, wherever it goes."""
    found = logging.getLogger(name)
    found.addFilter(_clean_record)
    return found


def _clean_record(record: logging.LogRecord) -> bool:
    try:
        text = record.getMessage()
    except Exception:
        text = str(record.msg)
    record.msg, record.args = message(text), ()
    return True


def told(error: BaseException, most: int = 160) -> str:
    """An exception of another library: its class and the first sentence of its text, cut.

    What follows is often advice that doesn't hold here. The whole is the cause of our own error.
    """
    kind, lines = type(error).__name__, said(error).strip().splitlines()
    if not lines or lines == [kind]:
        return kind
    # A first line that ends in a colon is but a heading.
    text = " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])
    return f"{kind}: {cut(text.split('. ')[0], most)}"


def _escaped(one: str) -> str:
    code = ord(one)
    control = code < 0x20 or 0x7F <= code < 0xA0
    if control or code in _FORMATS or 0xD800 <= code < 0xE000:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return one
