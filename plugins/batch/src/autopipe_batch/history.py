"""What the manifests of a folder say about its jobs.

`manifest.jsonl` has a line of JSON for each outcome, in the order in which they happened. Programs
that draw parts of a batch have a file each, such as `manifest-1-of-2.jsonl`; together they say what
was done.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from pydantic import Field, ValidationError

from autopipe.errors import ArgumentError, CheckpointError
from autopipe.regular import opened
from autopipe.wording import cut, error_summary, shown
from autopipe_requests.request import ID_LENGTH, Data

from .work import MOST_DEATHS

NAME = "manifest"
FORMAT = 1

_LONGEST = 1 << 16
_LARGEST = 1 << 34
_FILES = re.compile(rf"{NAME}(-[A-Za-z0-9_.-]{{1,100}})?\.jsonl")
_Time = Annotated[str, Field(max_length=40)]


class Header(Data):
    """The first line of a file.

    Attributes:
        format: the number of this format.
        threads: the number of threads of torch in each worker; None if nothing was drawn yet.
    """

    format: int
    threads: int | None = Field(default=None, ge=1, le=1 << 16)


class Entry(Data):
    """What became of a job.

    Attributes:
        id: the id of the request.
        state: as in `Outcome`.
        attempts: how often it has been tried, this time included.
        seconds: the time that it took.
        error: what went wrong, in one line.
        file: the name of the file in the folder.
        sha256: the hash of its bytes.
        worker: who did it.
        time: when, in UTC, as ISO 8601.
    """

    id: str = Field(pattern=rf"^[0-9a-f]{{{ID_LENGTH}}}$")
    state: Literal["done", "failed", "died", "set aside"]
    attempts: int = Field(default=1, ge=1, le=1 << 30)
    seconds: float = Field(default=0.0, ge=0)
    error: str | None = None
    file: str | None = Field(default=None, pattern=rf"^[0-9a-f]{{{ID_LENGTH}}}\.[a-z0-9]{{1,8}}$")
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    worker: str = ""
    time: _Time = ""


class WrongLine(Data):
    """A line of a file of jobs that is not valid.

    Attributes:
        line: its number.
        error: what is wrong with it.
        time: when it was read, as in `Entry`.
    """

    line: int = Field(ge=0)
    error: str
    time: _Time = ""


@dataclass
class History:
    """What the files of a folder say.

    Attributes:
        entries: the last entry of each job, by id.
        deaths: the number of workers that died of a job, by id.
        threads: the number of threads of each worker, or None for a new folder.
        wrong: the lines of files of jobs that were set aside.
        unreadable: which lines of these files are not valid, and why.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    deaths: dict[str, int] = field(default_factory=dict)
    threads: int | None = None
    wrong: set[tuple[int, str]] = field(default_factory=set)
    unreadable: list[str] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Take an entry into account; of two files, the later entry counts."""
        if entry.state == "died":
            self.deaths[entry.id] = self.deaths.get(entry.id, 0) + 1
        elif entry.state == "set aside":
            self.deaths[entry.id] = MOST_DEATHS
        before = self.entries.get(entry.id)
        if before is None or before.time <= entry.time:
            self.entries[entry.id] = entry


def read_history(folder: Path) -> History:
    """Return what the files of a folder say.

    Raises:
        ArgumentError: if a later version has written one.
        CheckpointError: if a file can't be read.
    """
    found = History()
    try:
        for name in sorted(os.listdir(folder)):
            if _FILES.fullmatch(name):
                with opened(folder / name, _LARGEST) as stream:
                    _read(stream, name, found)
    except FileNotFoundError:
        pass  # The first run makes the folder.
    except OSError as error:
        raise CheckpointError(
            f"what was done in {shown(str(folder))} can't be read: {error_summary(error)}"
        ) from error
    return found


def _read(stream: BinaryIO, name: str, found: History) -> None:
    number = 0
    while raw := stream.readline(_LONGEST):
        number += 1
        is_whole = raw.endswith(b"\n")
        if not is_whole and len(raw) < _LONGEST:
            return  # The program was killed while it wrote the last line.
        try:
            if not is_whole:
                raise ValueError(f"it has more than {_LONGEST:,} bytes")
            _take(raw, name, found)
        except ValidationError as error:
            _note(found, f"{name}, line {number}: {error.errors()[0]['msg']}")
        except ValueError as error:
            if isinstance(error, ArgumentError):
                raise
            _note(found, f"{name}, line {number}: {error}")
        while not is_whole and (raw := stream.readline(_LONGEST)):
            is_whole = raw.endswith(b"\n")


def _note(found: History, text: str) -> None:
    found.unreadable.append(cut(text, 300))


def _take(raw: bytes, name: str, found: History) -> None:
    if raw.startswith(b'{"format":'):
        header = Header.model_validate_json(raw)
        if header.format != FORMAT:
            raise ArgumentError(
                f"{name} has format {header.format}, and this version knows format {FORMAT}; "
                f"update autopipe-batch, or give another folder"
            )
        found.threads = found.threads or header.threads
    elif raw.startswith(b'{"line":'):
        wrong = WrongLine.model_validate_json(raw)
        found.wrong.add((wrong.line, wrong.error))
    else:
        found.add(Entry.model_validate_json(raw))
