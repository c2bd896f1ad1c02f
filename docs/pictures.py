"""Draw the pictures of the documentation: `python docs/pictures.py [--check] [PAGE ...]`.

A page shows what its own program draws. If a page links `pictures/NAME.png` and its Python
assigns the variable NAME, the file is a sheet of the final value of NAME:

- one picture;
- a dict of pictures by label, side by side;
- a dict of such dicts, a row for each.

The sheets are committed, so that a forge shows them too. Seeds determine the pictures, but not to
the last bit on every processor, so sheets are compared with a tolerance. `--check` names the sheets
that differ from what the code draws; tests/test_readme.py does the same for every page it runs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias
from unittest import mock

from PIL import Image, ImageChops, ImageDraw, ImageFont

DOCS = Path(__file__).parent
PICTURES = DOCS / "pictures"
TOLERANCE = 16
"""The largest allowed difference in the mean colour of a `PATCH` of two sheets, of 255."""
PATCH = 24
"""Width and height of the compared patches in pixels, about the size of a letter."""

CELL = 192
"""Approximate width and height of a picture on a sheet; enlargement is by whole factors."""
GAP = 12
LETTERS = 30
COLUMNS = 4
PAPER, FRAME, INK = "#ffffff", "#c8ccd4", "#33415c"
FONT = ImageFont.load_default(LETTERS - 5)

Row: TypeAlias = Mapping[str, Image.Image]
Shown: TypeAlias = Image.Image | Row | Mapping[str, Row]


def blocks(page: Path, language: str) -> Iterator[str]:
    """Yield the code blocks of `page` that are marked with exactly `language`."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if found[1] == language:
            yield found[2]


def program(page: Path) -> str:
    """Return all Python of `page` as one program, with the line numbers of the page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    kept, inside = [], False
    for line in lines:
        if line.startswith("```"):
            inside = not inside and line == "```python"
            line = ""
        kept.append(line if inside else "")
    return "\n".join(kept) + "\n"


def drawn_by(page: Path) -> list[str]:
    """Return the names of the pictures that `page` both draws and shows."""
    linked = re.findall(r"\]\([^)]*pictures/(\w+)\.png\)", page.read_text(encoding="utf-8"))
    code = "".join(blocks(page, "python"))
    return [name for name in dict.fromkeys(linked) if re.search(rf"^{name}\b.* = ", code, re.M)]


def run(page: Path) -> dict[str, object]:
    """Run all Python of `page` as one program and return its variables.

    Everything that the page registers is removed afterwards.
    """
    from autopipe.registry import default_registry

    module = types.ModuleType("__main__")
    before = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        with mock.patch("autopipe.registry._default", default_registry()):
            for number, block in enumerate(blocks(page, "python"), start=1):
                exec(compile(block, f"{page.name}, block {number}", "exec"), vars(module))
    finally:
        sys.modules["__main__"] = before
    return vars(module)


def sheet(shown: Shown) -> Image.Image:
    """Return one picture of everything in `shown`, enlarged without smoothing, with labels."""
    if isinstance(shown, Image.Image):
        return _enlarged(shown, 256)
    if all(isinstance(one, Image.Image) for one in shown.values()):
        return _row(shown, min(len(shown), COLUMNS))
    rows = {name: _row(row, len(row)) for name, row in shown.items()}
    width = max(row.width for row in rows.values())
    height = sum(row.height + LETTERS + GAP for row in rows.values())
    paper = Image.new("RGB", (width, height), PAPER)
    top = 0
    for name, row in rows.items():
        _write(paper, name, (GAP, top + GAP))
        paper.paste(row, (0, top + LETTERS + GAP))
        top += row.height + LETTERS + GAP
    return paper


def difference(one: Image.Image, other: Image.Image) -> int:
    """Return the largest difference between patches of two sheets, of 255."""
    if one.size != other.size:
        return 255
    patches = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).reduce(PATCH)
    return int(max(most for _, most in patches.getextrema()))


def committed(name: str) -> Image.Image | None:
    """Return the committed sheet of that name, or None."""
    file = PICTURES / f"{name}.png"
    return Image.open(file).convert("RGB") if file.is_file() else None


def stale(page: Path, names: Mapping[str, object]) -> dict[str, Image.Image]:
    """Return new versions of the sheets of `page` that are absent or out of date.

    Args:
        page: the page.
        names: the variables of its program.
    """
    new = {name: sheet(names[name]) for name in drawn_by(page)}  # type: ignore[arg-type]
    old = {name: committed(name) for name in new}
    return {
        name: one
        for name, one in new.items()
        if (before := old[name]) is None or difference(before, one) > TOLERANCE
    }


def _row(shown: Row, columns: int) -> Image.Image:
    pictures = {label: _enlarged(one, CELL) for label, one in shown.items()}
    wide = max(one.width for one in pictures.values())
    high = max(one.height for one in pictures.values())
    labels = {label: _lines(label, wide) for label in pictures}
    height = high + max(map(len, labels.values())) * LETTERS + GAP
    rows = -(-len(pictures) // columns)
    paper = Image.new("RGB", (columns * (wide + GAP) + GAP, rows * height + GAP), PAPER)
    for place, (label, one) in enumerate(pictures.items()):
        left, top = GAP + place % columns * (wide + GAP), GAP + place // columns * height
        paper.paste(one, (left, top))
        for number, line in enumerate(labels[label]):
            _write(paper, line, (left, top + high + number * LETTERS))
    return paper


def _lines(text: str, width: int) -> list[str]:
    """Wrap `text` in lines of at most `width` pixels, without splitting words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and FONT.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _enlarged(one: Image.Image, side: int) -> Image.Image:
    factor = max(1, side // max(one.size))
    size = (one.width * factor, one.height * factor)
    large = one.convert("RGB").resize(size, Image.Resampling.NEAREST)
    ImageDraw.Draw(large).rectangle((0, 0, size[0] - 1, size[1] - 1), outline=FRAME)
    return large


def _write(paper: Image.Image, text: str, at: tuple[int, int]) -> None:
    ImageDraw.Draw(paper).text(at, text, fill=INK, font=FONT)


def main(arguments: list[str] | None = None) -> int:
    """Redraw outdated sheets, or only name them with `--check`. Return the exit code."""
    parser = argparse.ArgumentParser(description="Draw the pictures of the documentation.")
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE", help="(default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    asked = parser.parse_args(arguments)
    found: list[str] = []
    here = Path.cwd()
    for page in [page.resolve() for page in asked.pages] or sorted(DOCS.rglob("*.md")):
        if not drawn_by(page):
            continue
        # The files that a page writes are deleted, and its output is not shown.
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            os.chdir(folder)
            try:
                changed = stale(page, run(page))
            finally:
                os.chdir(here)
        for name, one in changed.items():
            found.append(name)
            print(f"{page.relative_to(DOCS).as_posix()}: {name}", file=sys.stderr)
            if not asked.check:
                PICTURES.mkdir(exist_ok=True)
                one.save(PICTURES / f"{name}.png", optimize=True)
    return 1 if asked.check and found else 0


if __name__ == "__main__":
    raise SystemExit(main())
