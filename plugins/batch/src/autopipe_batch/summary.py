"""What came of a run, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autopipe.cli.text import counted
from autopipe.wording import clean, cut

from .jobs import Line

MOST_SHOWN = 20


@dataclass
class Summary:
    """What came of a run.

    Attributes:
        folder: the folder of the results.
        manifest: the file that says what became of each job.
        total: the number of jobs.
        found: how many of them were done before.
        adopted: how many of those no manifest had.
        drawn: how many are done now.
        failed: why others failed, by id.
        aside: why others are set aside, by id.
        again: why what seemed done was drawn again, by id.
        wrong: the lines of the file of jobs that are not valid.
        lines: the lines of the file of jobs that ask for them, by id.
        repeated: how many jobs were asked for a further time.
        sheet: the contact sheet, or None.
    """

    folder: Path
    manifest: Path
    total: int
    found: int = 0
    adopted: int = 0
    drawn: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    aside: dict[str, str] = field(default_factory=dict)
    again: Mapping[str, str] = field(default_factory=dict)
    wrong: Sequence[Line] = ()
    lines: Mapping[str, int] = field(default_factory=dict)
    repeated: int = 0
    sheet: Path | None = None

    @property
    def left(self) -> int:
        """How many jobs have not been tried, because the run was stopped."""
        return self.total - self.found - self.drawn - len(self.failed) - len(self.aside)

    @property
    def code(self) -> int:
        """The exit code."""
        return 1 if self.failed or self.aside or self.wrong else 0

    def name(self, job: str) -> str:
        """Return a job for people: its id, and its line."""
        return f"{job} (line {self.lines[job]})" if job in self.lines else job

    def text(self) -> str:
        """Return a few lines for people."""
        parts = [f"{self.drawn} drawn", f"{self.found} found"]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [f"{len(self.aside)} set aside"] if self.aside else []
        parts += [f"{self.left} left"] if self.left else []
        lines = [f"{counted(self.total, 'job', 'jobs')}: {', '.join(parts)}"]
        if self.repeated:
            lines.append(
                f"{counted(self.repeated, 'job equals', 'jobs equal')} another one, so they share "
                f"a picture"
            )
        if self.adopted:
            lines.append(f"{self.adopted} of those found had no line in a manifest")
        lines += _listed("failed; the same command tries them again", self._named(self.failed))
        lines += _listed("set aside; --retry tries them again", self._named(self.aside))
        if self.wrong:
            lines += _listed(
                "not valid, and left out", {f"line {o.number}": o.error for o in self.wrong}
            )
        # After --dry-run, and without jobs, there may be no manifest.
        names = [one for one in (self.manifest, self.sheet) if one is not None and one.exists()]
        return "\n".join([*lines, *(clean(str(name), keep="") for name in names)])

    def _named(self, errors: Mapping[str, str]) -> dict[str, str]:
        return {self.name(one): error for one, error in errors.items()}

    def data(self) -> dict[str, Any]:
        """Return everything as data for JSON."""
        return {
            "folder": str(self.folder),
            "manifest": str(self.manifest),
            "sheet": self.sheet and str(self.sheet),
            "total": self.total,
            "found": self.found,
            "adopted": self.adopted,
            "drawn": self.drawn,
            "left": self.left,
            "repeated": self.repeated,
            "again": dict(self.again),
            "failed": self.failed,
            "set_aside": self.aside,
            "wrong_lines": [{"line": one.number, "error": one.error} for one in self.wrong],
        }


def _listed(title: str, found: Mapping[str, str]) -> list[str]:
    if not found:
        return []
    shown = [f"  {one}: {cut(error, 300)}" for one, error in list(found.items())[:MOST_SHOWN]]
    more = len(found) - MOST_SHOWN
    return [f"{title}:", *shown, *([f"  and {more:,} more"] if more > 0 else [])]
