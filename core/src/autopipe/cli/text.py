"""Terminal output: the function that prints for all commands, and tables that fit the width.

Output may contain text of a checkpoint, a plugin, a file name or the Hub, so only `say` prints.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from ..sizes import size_text
from ..wording import clean, cut

size = size_text
GAP = "  "
_NARROWEST = 6
_LONGEST_CELL = 500
_MOST_ROWS = 500


def say(text: str, *, error: bool = False, end: str = "\n") -> None:
    """Print `text` to stdout, or to stderr if it is an `error` or not the result of the command.

    Control, format and surrogate characters are escaped, as are characters that the stream can't
    encode.
    """
    stream = sys.stderr if error else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    fit = clean(text + end).encode(encoding, "backslashreplace").decode(encoding)
    print(fit, end="", file=stream, flush=True)


def as_json(data: object) -> str:
    """Return `data` as JSON in ASCII; values that JSON can't express, such as infinity, as text."""
    return json.dumps(_plain(data), indent=2, allow_nan=False, default=str).replace(
        "\x7f", "\\u007f"
    )


def _plain(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    return str(data) if isinstance(data, float) and not math.isfinite(data) else data


def terminal_width() -> int:
    """Return the columns of the terminal (`COLUMNS` overrides them); 80 without a terminal."""
    return max(shutil.get_terminal_size().columns, 40)


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = (), width: int = 0) -> str:
    """Return `rows` in aligned columns under `head`; the widest columns wrap to fit `width`.

    Cells are cleaned and shortened, and only the first of very many rows are shown. The default
    `width` is that of the terminal.
    """
    if not rows:
        return ""
    if len(rows) > _MOST_ROWS:
        rest = f"... and {len(rows) - _MOST_ROWS + 1} more"
        blank = [""] * (len(rows[0]) - 1)
        return table([*rows[: _MOST_ROWS - 1], (rest, *blank)], head, width)
    everything = [[_cell(part) for part in row] for row in ([head, *rows] if head else rows)]
    widths = [max(1, *(len(row[i]) for row in everything)) for i in range(len(rows[0]))]
    room = (width or terminal_width()) - len(GAP) * (len(widths) - 1)
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return "\n".join(line for row in everything for line in _lines(row, widths))


def facts(values: Mapping[str, str | None]) -> str:
    """Return a line for each named value; None and empty values are left out."""
    return table([(name, value) for name, value in values.items() if value])


def counted(count: int, one: str, several: str) -> str:
    """Return `count` with the singular `one` or the plural `several`."""
    return f"{count} {one if count == 1 else several}"


def paragraph(text: str, indent: str = "", first: str | None = None) -> str:
    """Return `text` wrapped to the terminal's width, its first line indented by `first`."""
    return textwrap.fill(
        text,
        min(terminal_width(), 100),
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def help_text(text: str) -> str:
    """Return a help text of a manifest on one line, escaped for argparse."""
    return _cell(" ".join(text.split())).replace("%", "%%")


def _cell(text: str) -> str:
    return cut(clean(text, keep=""), _LONGEST_CELL)


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [
        textwrap.wrap(cell, width, break_on_hyphens=False) or [""]
        for cell, width in zip(row, widths)
    ]
    return [
        GAP.join(part.ljust(width) for part, width in zip(line, widths)).rstrip()
        for line in zip_longest(*cells, fillvalue="")
    ]
