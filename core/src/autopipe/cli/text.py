"""Text for a terminal: the one way out for all that commands print, and tables that fit its width.

What commands print may come from a checkpoint, a plugin, a file's name or the Hub, so nothing but
`say` prints.
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
    """Print `text` on stdout, or on stderr for an `error` and for what is not the result.

    Control, format and surrogate characters are shown escaped, and so is what the encoding of the
    stream doesn't have.
    """
    stream = sys.stderr if error else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    fit = clean(text + end).encode(encoding, "backslashreplace").decode(encoding)
    print(fit, end="", file=stream, flush=True)


def as_json(told: object) -> str:
    """`told` as JSON in ASCII; what JSON has no value for, such as infinity, as text."""
    return json.dumps(_plain(told), indent=2, allow_nan=False, default=str).replace(
        "\x7f", "\\u007f"
    )


def _plain(told: Any) -> Any:
    if isinstance(told, Mapping):
        return {str(key): _plain(value) for key, value in told.items()}
    if isinstance(told, (list, tuple)):
        return [_plain(value) for value in told]
    return str(told) if isinstance(told, float) and not math.isfinite(told) else told


def terminal_width() -> int:
    """The columns of the terminal (`COLUMNS` overrides it), 80 where there is none."""
    return max(shutil.get_terminal_size().columns, 40)


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = (), width: int = 0) -> str:
    """`rows` in aligned columns, under `head`; the widest columns wrap until all fit `width`.

    Cells are clean and cut. Of very many rows the first are shown.

    `width` is that of the terminal when it is not given.
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


def facts(told: Mapping[str, str | None]) -> str:
    """What is told by name, a line each; what is None or empty is left out."""
    return table([(name, value) for name, value in told.items() if value])


def counted(count: int, one: str, several: str) -> str:
    """How many there are of what is called `one`, or `several` where there is not just one."""
    return f"{count} {one if count == 1 else several}"


def paragraph(text: str, indent: str = "", first: str | None = None) -> str:
    """`text` filled to the terminal's width, its first line indented by `first`."""
    return textwrap.fill(
        text,
        min(terminal_width(), 100),
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def help_text(text: str) -> str:
    """A line that a manifest gives, as argparse takes it."""
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
