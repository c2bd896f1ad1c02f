"""The journal of a run: appends what becomes of each job to a manifest of the folder.

A line is on the disk before the next one is written. A kill can leave an incomplete last line,
which the next run cuts off.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from autopipe.errors import ArgumentError, CheckpointError
from autopipe.regular import UNFINISHED
from autopipe.wording import clean, cut, error_summary, shown
from autopipe_requests.request import Data

from .history import FORMAT, NAME, Entry, Header, History, WrongLine, read_history
from .work import Outcome

_FLAGS = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_BINARY"))
_LONGEST_ERROR = 4000


class Journal:
    """Context manager for a run that draws a batch, or a part of it, into a folder.

    No other run can have the same part at the same time; a run that is killed doesn't prevent the
    next one.

    Args:
        folder: the folder, which is created.
        part: what tells this run from others in the folder, such as `1-of-2`; empty for one that
            draws everything.

    Attributes:
        file: the manifest of this run.
        unfinished: the folder for files that are being written. What a killed run left there is
            deleted at the beginning, the folder itself at the end.
        history: what all manifests of the folder say.

    Raises:
        ArgumentError: on entering, if another run has this part.
        CheckpointError: on entering, if the folder can't be written.
    """

    def __init__(self, folder: Path, part: str = "") -> None:
        name = f"{NAME}-{part}" if part else NAME
        self.folder = folder
        self.file = folder / f"{name}.jsonl"
        self.unfinished = folder / f"{UNFINISHED}{name}"
        self.history = History()
        self._lock = FileLock(folder / f".{name}.lock")
        self._number: int | None = None

    def __enter__(self) -> Journal:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except (OSError, NotImplementedError) as error:  # A Timeout is an OSError.
            if not isinstance(error, Timeout):
                raise CheckpointError(
                    f"{shown(str(self.folder))} can't be written: {error_summary(error)}; give "
                    f"another folder"
                ) from error
            raise ArgumentError(
                f"another run draws into {shown(str(self.folder))}; wait until it ends, or give "
                f"another folder"
            ) from None
        try:
            self._remove_unfinished()
            self.history = read_history(self.folder)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._number is not None:
            os.close(self._number)
            self._number = None
        self._remove_unfinished()
        self._lock.release()

    def begin(self, threads: int | None) -> None:
        """Open the manifest for appending; a new one gets a header.

        Args:
            threads: the number of threads of torch in each worker, if something is to be drawn.

        Raises:
            OSError: if the folder can't be written.
        """
        self.unfinished.mkdir(exist_ok=True)
        self._number = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND | _FLAGS, 0o644)
        _cut_incomplete(self._number)
        if os.fstat(self._number).st_size == 0:
            self._append(Header(format=FORMAT, threads=threads))
            _keep_names(self.folder)

    def add(self, outcome: Outcome, *, tried: bool = True) -> Entry:
        """Append what became of a job, and return the entry.

        Args:
            tried: whether this was an attempt; otherwise a file was found.

        Raises:
            OSError: if it can't be written.
        """
        before = self.history.entries.get(outcome.id)
        attempts = (before.attempts if before else 0) + tried
        entry = Entry(
            id=outcome.id,
            state=outcome.state,
            attempts=max(attempts, 1),
            seconds=round(outcome.seconds, 3),
            error=_line(outcome.error) if outcome.error else None,
            file=outcome.file,
            sha256=outcome.sha256,
            worker=_line(outcome.worker),
            time=_now(),
        )
        self._append(entry)
        self.history.add(entry)
        return entry

    def add_wrong(self, lines: Iterable[tuple[int, str]]) -> None:
        """Append lines of a file of jobs that are set aside, unless that is known.

        Raises:
            OSError: if they can't be written.
        """
        for number, text in lines:
            error = _line(text)
            if (number, error) not in self.history.wrong:
                self._append(WrongLine(line=number, error=error, time=_now()))
                self.history.wrong.add((number, error))

    def _append(self, line: Data) -> None:
        assert self._number is not None
        content = line.model_dump_json(exclude_none=True).encode() + b"\n"
        size = os.fstat(self._number).st_size
        try:
            while content:
                content = content[os.write(self._number, content) :]
            os.fsync(self._number)
        except OSError:
            # A part of a line would spoil the next one.
            with contextlib.suppress(OSError):
                os.ftruncate(self._number, size)
            raise

    def _remove_unfinished(self) -> None:
        # If it is a link, somebody else made it.
        if not self.unfinished.is_symlink():
            shutil.rmtree(self.unfinished, ignore_errors=True)


def _line(text: str) -> str:
    return cut(clean(" ".join(text.split()), keep=""), _LONGEST_ERROR)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _cut_incomplete(number: int) -> None:
    """Cut off the last line if it has no end."""
    size = end = os.fstat(number).st_size
    while end:
        begin = max(0, end - 4096)
        os.lseek(number, begin, os.SEEK_SET)
        found = os.read(number, end - begin).rfind(b"\n")
        if found >= 0:
            end = begin + found + 1
            break
        end = begin
    if end < size:
        os.ftruncate(number, end)


def _keep_names(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
