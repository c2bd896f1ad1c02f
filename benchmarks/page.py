"""Shows results: lines in the terminal, and a table and a picture on pages of the documentation.

A page has the figure of a row between `<!-- speed: KEY -->` and `<!-- end -->`. The keys `table`
and `machine` stand for the whole table and what computed it; the picture is docs/speed.svg. `python
benchmarks/page.py` puts the figures of docs/speed.json on all pages, and with `--check` it names
the pages that differ.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

DOCS = Path(__file__).resolve().parents[1] / "docs"
RESULTS, PICTURE = DOCS / "speed.json", DOCS / "speed.svg"
MARKED = re.compile(r"(<!-- speed: (\S+) -->)(.*?)(<!-- end -->)", re.DOTALL)

Results = dict[str, Any]


def rows_of(results: Results) -> Iterator[dict[str, Any]]:
    """Yield the rows of all groups."""
    for group in results["groups"]:
        yield from group["rows"]


def figure(row: dict[str, Any]) -> str:
    """Return the figure of a row with its range, or why there is none."""
    if "figure" not in row:
        return "not measured"
    low, high = row["range"]
    unit = "" if row["ratio"] else f" {row['unit']}"
    return f"{_short(row['figure'])} [{_short(low)} to {_short(high)}]{unit}"


def line(row: dict[str, Any]) -> str:
    """Return a row as a line of the terminal."""
    if "figure" not in row:
        return f"{row['title']:<44} goal {row['goal']:<6g} not measured: {row['note']}"
    verdict = "met" if row["met"] else "NOT MET"
    against = f" of {_short(row['other'])}" if "other" in row else ""
    taken = f"{_short(row['ours'])}{against} {row['unit']}, {row['turns']} turns{_beside(row)}"
    return f"{row['title']:<44} goal {row['goal']:<6g} {figure(row):<24} {verdict:<8} {taken}"


def table(results: Results) -> str:
    """Return the table in Markdown, a part for each group."""
    parts = []
    for group in results["groups"]:
        told = [
            f"\n**{group['title']}**\n",
            "| | goal | figure [range] | | autopipe | other | turns |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in group["rows"]:
            title = row["title"] + _beside(row)
            if "figure" not in row:
                told.append(f"| {title} | {row['goal']:g} | {row['note']} | | | | |")
                continue
            other = f"{_short(row['other'])} {row['unit']}" if "other" in row else ""
            verdict = "met" if row["met"] else "not met"
            cells = (
                f"{row['goal']:g}",
                figure(row),
                verdict,
                f"{_short(row['ours'])} {row['unit']}",
                other,
                row["turns"],
            )
            told.append(f"| {title} | {' | '.join(map(str, cells))} |")
        parts.append("\n".join(told))
    # A blank line ends the last table, whatever follows.
    return "\n".join(parts) + "\n\n"


def machine(results: Results) -> str:
    """Return what computed the results."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    turns = "a quick run" if results["quick"] else "a full run"
    return (
        f"\n{results['processor']}, {results['cores']} cores, Python {results['python']}; "
        f"{versions}; {results['date']}, {turns}.\n"
    )


def bars(results: Results) -> str:
    """Return an SVG with a bar for each ratio, a line at its goal, and one at 1."""
    shown = [row for row in rows_of(results) if row.get("ratio")]
    left, scale, step = 430, 340, 26
    height = step * len(shown) + 50
    one = left + scale
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {one + 150} {height}" '
        f'font-family="sans-serif" font-size="13" role="img">',
        "<title>Time as a ratio to the reference</title>",
        f'<rect width="{one + 150}" height="{height}" fill="#ffffff"/>',
    ]
    titles = {
        row["key"]: group["title"].partition(",")[0]
        for group in results["groups"]
        for row in group["rows"]
    }
    for number, row in enumerate(shown):
        top = 30 + step * number
        width, goal = min(row["figure"], 1.25) * scale, left + min(row["goal"], 1.25) * scale
        label = f"{row['key'].replace('-', ' ')}: {row['title']}"
        drawn += [
            f"<g><title>{escape(titles[row['key']])}: {escape(label)}</title>",
            f'<text x="{left - 8}" y="{top + 13}" text-anchor="end" fill="#33415c">'
            f"{escape(label[:64])}</text>",
            f'<rect x="{left}" y="{top}" width="{width:.0f}" height="18" '
            f'fill="{"#4878a8" if row["met"] else "#c8743c"}"/>',
            f'<line x1="{goal:.0f}" x2="{goal:.0f}" y1="{top - 2}" y2="{top + 20}" '
            f'stroke="#33415c" stroke-width="2"/>',
            f'<text x="{left + width + 6:.0f}" y="{top + 13}" fill="#33415c">'
            f"{_short(row['figure'])}</text></g>",
        ]
    drawn += [
        f'<line x1="{one}" x2="{one}" y1="20" y2="{height - 16}" stroke="#999999" '
        'stroke-dasharray="4 3"/>',
        f'<text x="{one}" y="14" text-anchor="middle" fill="#33415c">the reference: 1</text>',
        "</svg>",
    ]
    return "\n".join(drawn) + "\n"


def filled(text: str, results: Results) -> str:
    """Return a page with the figures of `results`, and "not measured" where there is none."""
    blocks: dict[str, Callable[[Results], str]] = {"table": table, "machine": machine}
    by_key = {row["key"]: row for row in rows_of(results)}

    def value(found: re.Match[str]) -> str:
        key = found[2]
        shown = blocks[key](results) if key in blocks else figure(by_key.get(key, {}))
        return f"{found[1]}{shown}{found[4]}"

    return MARKED.sub(value, text)


def outdated(results: Results) -> dict[Path, str]:
    """Return the new text of each file of the documentation that doesn't show `results`."""
    new = {PICTURE: bars(results)}
    for file in DOCS.rglob("*.md"):
        text = file.read_text(encoding="utf-8")
        new[file] = filled(text, results) if MARKED.search(text) else text
    return {
        file: text
        for file, text in new.items()
        if not file.is_file() or file.read_text(encoding="utf-8") != text
    }


def publish(results: Results) -> None:
    """Keep `results` in the documentation and show them on its pages."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for file, text in outdated(results).items():
        file.write_text(text, encoding="utf-8")


def _beside(row: dict[str, Any]) -> str:
    if "beside" not in row:
        return ""
    values = " against ".join(map(_short, row["beside"]["values"]))
    return f" ({row['beside']['quantity']}: {values})"


def _short(value: float) -> str:
    """Return a number with two decimals, or with three digits if it is large or small."""
    return f"{value:.2f}" if 0.1 <= value < 10 else f"{value:.3g}"


def main() -> int:
    """Put the kept results on the pages, or name those that differ. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    stale = outdated(results)
    for file in stale:
        print(file.relative_to(DOCS))
    if not check:
        publish(results)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
