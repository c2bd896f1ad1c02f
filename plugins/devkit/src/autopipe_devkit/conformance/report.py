"""The report of the kit: the results of the checks by pipeline and task."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopipe.cli.text import as_json, counted, paragraph
from autopipe.errors import ArgumentError
from autopipe.wording import clean, shown

from .verdict import Verdict

WRONG = {"failed": "failed", "unjudged": "could not be judged"}
"""The outcomes that fail a run, with their wording."""

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem}"
    "table{border-collapse:collapse;width:100%}td{border-top:1px solid #ccc;padding:.3rem .6rem;"
    "vertical-align:top;overflow-wrap:anywhere}td:first-child{width:9rem}ul{margin:0;padding:0 0 0 "
    "1rem}.failed{color:#b00020;font-weight:bold}"
)


@dataclass(frozen=True)
class Row:
    """A row of the report: a label and its items."""

    label: str
    items: tuple[str, ...]
    wrong: bool = False


@dataclass(frozen=True)
class Section:
    """The results for the plugin itself, or for one pipeline and task."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Report:
    """The results of a run of the kit."""

    verdicts: tuple[Verdict, ...]

    @classmethod
    def of(cls, told: Iterable[dict[str, Any]]) -> Report:
        """Return the report of verdicts that are given as JSON values."""
        return cls(tuple(map(Verdict.of, told)))

    @property
    def passed(self) -> bool:
        """Whether any checks ran, and none failed or was unjudged."""
        return bool(self.verdicts) and all(one.outcome not in WRONG for one in self.verdicts)

    def summary(self) -> Iterator[str]:
        """Yield a sentence for each family: the number of checks, in total and by outcome."""
        for family in dict.fromkeys(one.family for one in self.verdicts):
            own = [one for one in self.verdicts if one.family == family]
            counts = {
                told: sum(one.outcome == outcome for one in own)
                for outcome, told in {
                    "passed": "passed",
                    **WRONG,
                    "expected": "failed as expected",
                }.items()
            }
            told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
            yield f"{family}: {counted(len(own), 'check', 'checks')}, {told}"

    def sections(self) -> Iterator[Section]:
        """Yield the sections of the report, in the order of the checks."""
        places = dict.fromkeys((one.family, one.pipeline, one.task) for one in self.verdicts)
        for place in places:
            own = [v for v in self.verdicts if (v.family, v.pipeline, v.task) == place]
            family, pipeline, task = place
            title = f"{pipeline}, {task}" if task else pipeline or f"the plugin {family}"
            yield Section(title, tuple(_rows(own)))

    def as_text(self, brief: bool = False) -> str:
        """Return the report for a terminal; if `brief`, only failed and unjudged checks."""
        parts = []
        for section in self.sections():
            rows = [row for row in section.rows if row.wrong or not brief]
            lines = [line for row in rows for line in _lines(row)]
            parts += ["\n".join([section.title, *lines])] if rows else []
        return clean("\n\n".join(parts + ([] if brief else ["\n".join(self.summary())])))

    def as_markdown(self) -> str:
        """Return the report as Markdown."""
        parts = ["# Conformance", "\n".join(f"- {line}" for line in self.summary())]
        for section in self.sections():
            rows = [f"| {row.label} | {_cell(row.items)} |" for row in section.rows]
            parts.append("\n".join([f"## {section.title}", "", "| | |", "|---|---|", *rows]))
        return clean("\n\n".join(parts) + "\n")

    def as_html(self) -> str:
        """Return the report as a self-contained HTML page."""
        parts = [f"<p>{html.escape(line)}</p>" for line in self.summary()]
        for section in self.sections():
            rows = "\n".join(map(_html_row, section.rows))
            parts.append(f"<h2>{html.escape(section.title)}</h2>\n<table>\n{rows}\n</table>")
        body = "\n".join(parts)
        return clean(
            f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>Conformance</title>'
            f"<style>{_STYLE}</style></head>\n<body>\n<h1>Conformance</h1>\n{body}\n</body>\n"
            f"</html>\n"
        )

    def as_plain(self) -> dict[str, Any]:
        """Return the verdicts, and whether all checks passed, as JSON values."""
        return {"ok": self.passed, "checks": [one.as_plain() for one in self.verdicts]}

    def write(self, file: Path) -> None:
        """Write the report to `file`, in the format that its suffix names.

        Raises:
            ArgumentError: if the suffix is not .md, .html or .json, or `file` can't be written.
        """
        check_ending(file)
        forms = {".md": self.as_markdown, ".html": self.as_html, ".json": self._as_json}
        try:
            file.write_text(forms[file.suffix](), encoding="utf-8")
        except OSError as error:
            raise ArgumentError(f"{shown(str(file))} can't be written: {error.strerror}") from error

    def _as_json(self) -> str:
        return as_json(self.as_plain()) + "\n"


def check_ending(file: Path) -> None:
    """Raise `ArgumentError` unless the suffix of `file` names a format of reports."""
    if file.suffix not in (".md", ".html", ".json"):
        raise ArgumentError(f"{shown(str(file))} must end with .md, .html or .json")


def _rows(verdicts: Sequence[Verdict]) -> Iterator[Row]:
    for outcome, label in (("failed", "failed"), ("unjudged", "not judged")):
        found = [v for v in verdicts if v.outcome == outcome]
        said = [f"{v.check}: {line}" for v in found for line in v.said.splitlines() if line.strip()]
        if said:
            yield Row(label, tuple(said), wrong=True)
    expected = [
        *(f"{v.check}: {v.reason}" for v in verdicts if v.outcome == "expected"),
        *(f"{v.check}: {line}" for v in verdicts for line in v.notes.expected),
    ]
    able: dict[str, str] = {}
    for verdict in verdicts:
        able |= verdict.notes.abilities
    rows = {
        "expected": expected,
        "unchecked": _by_reason(line for v in verdicts for line in v.notes.unchecked),
        "can": [", ".join(name for name, told in able.items() if told == "yes")],
        "can't": _by_reason(
            f"{n}: {t.removeprefix('no: ')}" for n, t in able.items() if t != "yes"
        ),
        "passed": [", ".join(v.check for v in verdicts if v.outcome == "passed")],
    }
    yield from (
        Row(label, tuple(filter(None, items))) for label, items in rows.items() if any(items)
    )


def _by_reason(lines: Iterable[str]) -> list[str]:
    """Return lines of "name: reason" in which the names with the same reason are joined."""
    found: dict[str, dict[str, None]] = {}
    for line in lines:
        name, _, reason = line.partition(": ")
        found.setdefault(reason, {})[name] = None
    return [f"{', '.join(names)}: {reason}" for reason, names in found.items()]


def _lines(row: Row) -> Iterator[str]:
    label = row.label.upper() if row.wrong else row.label
    for item in row.items:
        yield paragraph(item, " " * 14, f"  {label:<12}")
        label = ""


def _cell(items: Sequence[str]) -> str:
    return "<br>".join(html.escape(item, quote=False).replace("|", "\\|") for item in items)


def _html_row(row: Row) -> str:
    items = "".join(f"<li>{html.escape(item)}</li>" for item in row.items)
    kind = ' class="failed"' if row.wrong else ""
    return f"<tr><td{kind}>{html.escape(row.label)}</td><td><ul>{items}</ul></td></tr>"
