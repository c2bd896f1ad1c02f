"""Formats foreign text for messages, logs and terminals.

Names and values of checkpoints, plugins, files and callers may contain anything: terminal escape
sequences, characters that reverse the reading direction, lone surrogates that can't be encoded, a
million letters. `clean` escapes such characters; `shown` and `listed` also shorten. Errors of this
library and each `logger` clean their whole message, so code that raises or logs only has to take
care of length and line breaks.
"""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Iterable
from typing import Any

_FORMATS = frozenset(
    [0x061C, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF]
)
"""Direction marks, line and paragraph separators and zero-width characters (Unicode TR 36)."""

_LONGEST_MESSAGE = 4000


def clean(text: str, keep: str = "\n") -> str:
    """Return `text` with control, format and surrogate characters escaped, except for `keep`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one in keep else _escaped(one) for one in text)


def message(text: str) -> str:
    """Return `text` as a whole message: cleaned, and without its middle if it is far too long."""
    if len(text) > _LONGEST_MESSAGE:
        text = cut(text, _LONGEST_MESSAGE)
    return clean(text)


def cut(text: str, most: int = 80) -> str:
    """Return `text`, or its two ends joined by `...` if it is longer than `most` characters."""
    if len(text) <= most:
        return text
    tail = (most - 3) // 3
    return f"{text[: most - 3 - tail]}...{text[len(text) - tail :]}"


def shown(value: object, most: int = 80) -> str:
    """Return `value` for a message: its `repr` on one line, cleaned, of at most `most` characters.

    The `repr` of a large container is made of its first items only. An object whose `repr` raises
    is shown by its class.
    """
    limits = reprlib.Repr()
    limits.maxstring = limits.maxother = limits.maxlong = most
    limits.maxlist = limits.maxtuple = limits.maxdict = limits.maxset = 6
    if isinstance(value, str):
        value = cut(value, most - 2)
    elif type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "shape"):
        return f"a tensor of shape {cut(str(tuple(value.shape)), most)}"
    try:
        text = limits.repr(value)
    except ValueError:  # Python refuses to write integers of thousands of digits
        return f"a very large {type(value).__name__}"
    return cut(clean(text, keep=""), most)


def listed(names: Iterable[Any], most: int = 10) -> str:
    """Return `names`, cleaned and shortened, joined by commas, without quotes.

    Of more than `most` names only the first are listed, followed by the number of the others.
    """
    every = [cut(clean(str(name), keep="")) for name in names]
    rest = len(every) - most
    return ", ".join(every) if rest <= 0 else f"{', '.join(every[:most])} and {rest} more"


def reason(error: BaseException) -> str:
    """Return the class and text of an error for a message; the class alone if `str` raises."""
    kind, text = type(error).__name__, error_text(error)
    return kind if text in ("", kind) else f"{kind}: {cut(text, 1000)}"


def error_text(error: BaseException) -> str:
    """Return the text of an error, or its class name if `str` raises."""
    try:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return type(error).__name__


def logger(name: str) -> logging.Logger:
    """Return the logger of a module; its messages are cleaned and limited in length."""
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


def error_summary(error: BaseException, most: int = 160) -> str:
    """Return the class of another library's exception and the first sentence of its text.

    Later sentences often give advice that doesn't apply here. The whole exception is the
    `__cause__` of the error that quotes it.
    """
    kind, lines = type(error).__name__, error_text(error).strip().splitlines()
    if not lines or lines == [kind]:
        return kind
    # A first line that ends in a colon is only a heading.
    text = " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])
    return f"{kind}: {cut(text.split('. ')[0], most)}"


def _escaped(one: str) -> str:
    code = ord(one)
    control = code < 0x20 or 0x7F <= code < 0xA0
    if control or code in _FORMATS or 0xD800 <= code < 0xE000:
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return one
