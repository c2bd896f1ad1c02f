"""Text for a terminal: tables that fit its width."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

from ..sizes import size_text

size = size_text
GAP = "  "
_NARROWEST = 6


def terminal_width() -> int:
    """The columns of the terminal (`COLUMNS` overrides it), 80 where there is none."""
    return max(shutil.get_terminal_size().columns, 40)


def table(
    rows: Sequence[Sequence[str]], head: Sequence[str] = (), indent: str = "", width: int = 0
) -> str:
    """`rows` in aligned columns, under `head`; the widest columns wrap until all fit `width`.

    `width` is that of the terminal when it is not given.
    """
    if not rows:
        return ""
    everything = [head, *rows] if head else rows
    widths = [max(1, *(len(row[i]) for row in everything)) for i in range(len(rows[0]))]
    room = (width or terminal_width()) - len(indent) - len(GAP) * (len(widths) - 1)
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return "\n".join(indent + line for row in everything for line in _lines(row, widths))


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
    return " ".join(text.split()).replace("%", "%%")


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    cells = [
        textwrap.wrap(cell, width, break_on_hyphens=False) or [""]
        for cell, width in zip(row, widths)
    ]
    height = max(len(cell) for cell in cells)
    padded = [[*cell, *[""] * (height - len(cell))] for cell in cells]
    return [
        GAP.join(part.ljust(width) for part, width in zip(line, widths)).rstrip()
        for line in zip(*padded)
    ]
