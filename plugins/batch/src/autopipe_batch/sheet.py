"""Contact sheets: the images of a batch in rows and columns, with the values that were swept."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.errors import ArgumentError, nearest
from autopipe.regular import opened, replaced
from autopipe.wording import clean, cut, listed, shown

if TYPE_CHECKING:
    from PIL.Image import Image

NAME = "sheet.png"
PROMPT, SEED = "prompt", "seed"

MOST_LABELS = 40
"""The most rows, and the most columns, of a sheet."""

MOST_CELLS = 1000

_MARK = "autopipe-sheet"
"""The name of the text of a sheet, which says what it shows."""

_SIDE, _LEAST, _WIDEST = 256, 48, 1 << 14
_GAP, _LETTERS = 10, 20
_PAPER, _INK, _PALE = "#ffffff", "#1f2933", "#d5d9e0"
_LARGEST = 1 << 32


@dataclass(frozen=True)
class Axis:
    """What differs between images.

    Attributes:
        name: the swept argument, `prompt` for the jobs, or `seed`.
        labels: its values.
    """

    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """Where the images of a batch are on a sheet.

    Attributes:
        axes: the axes of the batch; the last one changes fastest.
        rows: the axis of the rows, or None for a single row.
        columns: the axis of the columns.
    """

    axes: tuple[Axis, ...]
    rows: Axis | None
    columns: Axis

    def panels(self) -> Iterator[tuple[str, list[list[int]]]]:
        """Yield for each combination of the other axes a title, and the places of its images.

        A place is a number in the order of the batch. Only the first of very many are on a sheet.
        """
        steps = {
            axis.name: math.prod(len(one.labels) for one in self.axes[number + 1 :])
            for number, axis in enumerate(self.axes)
        }
        others = [axis for axis in self.axes if axis not in (self.rows, self.columns)]
        height = min(len(self.rows.labels), MOST_LABELS) if self.rows else 1
        width = min(len(self.columns.labels), MOST_LABELS)
        most = max(1, MOST_CELLS // (height * width))
        down = steps[self.rows.name] if self.rows else 0
        across = steps[self.columns.name]
        combinations = itertools.product(*(range(len(axis.labels)) for axis in others))
        for chosen in itertools.islice(combinations, most):
            begin = sum(steps[axis.name] * one for axis, one in zip(others, chosen))
            texts = [_titled(axis, one) for axis, one in zip(others, chosen)]
            yield (
                ", ".join(filter(None, texts)),
                [[begin + y * down + x * across for x in range(width)] for y in range(height)],
            )


def _titled(axis: Axis, place: int) -> str:
    label = axis.labels[place]
    if len(axis.labels) == 1:
        return label if axis.name == PROMPT else ""
    return label if axis.name == PROMPT else f"{axis.name} {label}"


def sheet_option(text: str) -> dict[str, str]:
    """Read `rows=NAME,columns=NAME`, or one of them.

    Raises:
        ArgumentError: if it is something else.
    """
    pairs = [part.partition("=") for part in text.split(",")]
    found = {key.strip(): name.strip().replace("-", "_") for key, _, name in pairs}
    if (
        len(found) < len(pairs)
        or not found.keys() <= {"rows", "columns"}
        or not all(found.values())
    ):
        raise ArgumentError(
            f"--sheet {shown(text)} is not valid; write rows=NAME,columns=NAME with swept arguments"
        )
    return found


def axes_of(
    titles: Sequence[str], swept: Mapping[str, Sequence[Any]], images: int, cells: int
) -> list[Axis]:
    """Return the axes of a batch: its jobs, what was swept, and the seeds if there are several.

    Args:
        titles: the titles of the first jobs.
        swept: the swept values, by name.
        images: the number of images of each job.
        cells: the number of all images.
    """
    jobs = cells // (images * math.prod(len(values) for values in swept.values()))
    return [
        Axis(PROMPT, (*titles[:jobs], *[""] * (jobs - len(titles)))),
        *(Axis(name, tuple(map(str, values))) for name, values in swept.items()),
        *([Axis(SEED, tuple(f"+{i}" for i in range(images)))] if images > 1 else []),
    ]


def layout(axes: Sequence[Axis], asked: Mapping[str, str]) -> Layout:
    """Return the layout of a batch.

    By default the rows are the first of two swept arguments and the columns the second. A single
    one has columns, and a row for each seed or job.

    Args:
        axes: the jobs, the swept arguments, the seeds.
        asked: the names of the axes for `rows` and `columns`.

    Raises:
        ArgumentError: if there is no such axis.
    """
    by_name = {axis.name: axis for axis in axes}
    for name in asked.values():
        if name not in by_name:
            known = [one.name for one in axes]
            raise ArgumentError(
                f"--sheet names {shown(name)}, which is not swept.{nearest(name, known)} "
                f"Known: {listed(known)}"
            )
    if len(set(asked.values())) < len(asked):
        raise ArgumentError("--sheet has the same name for rows and columns; give two names")
    many = [axis for axis in axes if len(axis.labels) > 1]
    swept = [axis for axis in many if axis.name not in (PROMPT, SEED)]
    others = [axis for axis in reversed(many) if axis not in swept]
    rows = by_name.get(asked.get("rows", ""))
    columns = by_name.get(asked.get("columns", ""))
    if columns is None:
        likely = [*swept[1:2], *swept[:1], *swept[2:], *others, *axes]
        columns = next(axis for axis in likely if axis is not rows)
    if rows is None:
        rows = next((axis for axis in (*swept, *others) if axis is not columns), None)
    return Layout(tuple(axes), rows, columns)


def draw_sheet(panels: Sequence[tuple[str, list[list[Path | None]]]], where: Layout) -> Image:
    """Return a sheet of panels one below the other, each a title and rows of image files.

    Images are reduced, or enlarged by whole factors, to cells of equal size. A file that is absent
    or no image is an empty cell.
    """
    import PIL.Image
    from PIL import ImageDraw, ImageFont

    font = ImageFont.load_default(_LETTERS - 4)
    across = max(len(row) for _, rows in panels for row in rows)
    side = max(_LEAST, min(_SIDE, _WIDEST // across - _GAP))
    heads = [] if where.columns.name == PROMPT and across == 1 else _heads(where.columns)
    sides = _heads(where.rows) if where.rows else []
    left = _GAP + max([0, *(math.ceil(font.getlength(text)) + _GAP for text in sides)])
    left = min(left, 2 * _SIDE)
    titles = [_fitted(title, left + across * (side + _GAP) - _GAP, font) for title, _ in panels]
    top = _LETTERS + _GAP if heads else 0
    height = _GAP + sum(
        top + (len(rows) * (side + _GAP)) + (_LETTERS + _GAP if title else 0)
        for (_, rows), title in zip(panels, titles)
    )
    paper = PIL.Image.new("RGB", (left + across * (side + _GAP), height), _PAPER)
    pen, y = ImageDraw.Draw(paper), _GAP
    for (_, rows), title in zip(panels, titles):
        if title:
            pen.text((_GAP, y), title, fill=_INK, font=font)
            y += _LETTERS + _GAP
        for place, text in enumerate(heads):
            label = _fitted(text, side, font)
            pen.text((left + place * (side + _GAP), y), label, fill=_INK, font=font)
        y += top
        for number, row in enumerate(rows):
            if sides:
                label = _fitted(sides[number], left - 2 * _GAP, font)
                pen.text((_GAP, y + side // 2), label, fill=_INK, font=font, anchor="lm")
            for place, file in enumerate(row):
                x = left + place * (side + _GAP)
                image = None if file is None else _small(file, side)
                if image is not None:
                    corner = x + (side - image.width) // 2, y + (side - image.height) // 2
                    paper.paste(image, corner)
                else:
                    pen.rectangle((x, y, x + side - 1, y + side - 1), outline=_PALE)
            y += side + _GAP
    return paper


def _heads(axis: Axis) -> list[str]:
    if axis.name == PROMPT:
        return list(axis.labels)
    return [f"{axis.name} {label}" for label in axis.labels]


def _fitted(text: str, width: int, font: Any) -> str:
    """Return `text`, shortened to at most `width` pixels."""
    text = cut(clean(text, keep=""), 300)
    while len(text) > 4 and font.getlength(text) > width:
        text = cut(text, min(len(text) - 1, max(4, int(len(text) * width / font.getlength(text)))))
    return text


def _small(file: Path, side: int) -> Image | None:
    import PIL.Image

    try:
        with opened(file, _LARGEST) as stream, PIL.Image.open(stream) as image:
            image.draft("RGB", (side, side))
            found = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        return None
    factor = side // max(found.size)
    if factor > 1:
        size = found.width * factor, found.height * factor
        return found.resize(size, PIL.Image.Resampling.NEAREST)
    found.thumbnail((side, side), PIL.Image.Resampling.LANCZOS)
    return found


def mark_of(file: Path) -> str | None:
    """Return what a sheet shows; an empty text for another file, and None if there is no file."""
    import PIL.Image

    try:
        with opened(file, _LARGEST) as stream, PIL.Image.open(stream) as before:
            return str(before.info.get(_MARK, ""))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        return ""


def write_sheet(sheet: Image, file: Path, mark: str) -> None:
    """Write a sheet that says what it shows.

    Raises:
        OSError: if it can't be written.
    """
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text(_MARK, mark)
    with replaced(file) as unfinished:
        sheet.save(unfinished, format="PNG", pnginfo=text)
