"""Grids: the same request with the values of one or two of its fields in turn."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopipe_batch.sheet import Layout, axes_of, draw_sheet, layout
from autopipe_batch.sweep import Sweep, combinations, sweep

from .fields import Field

MOST_CELLS = 100


@dataclass(frozen=True)
class Grid:
    """A request for each combination of values.

    Attributes:
        sweeps: the fields and their values; the last one changes fastest.
        changes: what each cell changes of the request.
    """

    sweeps: tuple[Sweep, ...] = ()
    changes: tuple[Mapping[str, Any], ...] = ({},)

    @property
    def captions(self) -> list[str]:
        """The values of each cell."""
        return [", ".join(f"{k} {v}" for k, v in one.items()) for one in self.changes]

    def sheet(self, files: Sequence[Path], folder: Path) -> Path:
        """Write a contact sheet of the cells into a folder."""
        swept = {one.name: one.values for one in self.sweeps}
        where: Layout = layout(axes_of([""], swept, 1, len(self.changes)), {})
        found = dict(enumerate(files))
        panels = [
            (title, [[found.get(place) for place in row] for row in rows])
            for title, rows in where.panels()
        ]
        file = folder / "sheet.png"
        draw_sheet(panels, where).save(file)
        return file


def grid_of(rows: Sequence[tuple[str | None, str | None]], fields: Mapping[str, Field]) -> Grid:
    """Return the grid of pairs of a field's name and its values, `3, 5, 7`, `1..4` or a JSON list.

    Raises:
        ValueError: if one is not valid; the text is a sentence for users.
    """
    sweeps: list[Sweep] = []
    for name, text in rows:
        if not name or not (text or "").strip():
            continue
        try:
            found = sweep(f"{name}={text}")
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"the grid is not valid: {error}") from None
        if any(one.name == found.name for one in sweeps):
            raise ValueError(f"the grid has {fields[name].label} twice; choose two fields")
        sweeps.append(Sweep(name, tuple(fields[name].value(one) for one in found.values)))
    cells = combinations(sweeps) if sweeps else [{}]
    if len(cells) > MOST_CELLS:
        raise ValueError(f"the grid has {len(cells):,} pictures, and a page draws {MOST_CELLS}")
    return Grid(tuple(sweeps), tuple(cells))
