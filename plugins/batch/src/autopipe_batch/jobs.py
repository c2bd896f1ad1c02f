"""Reads jobs from files: JSON lines, CSV, or a prompt on each line.

A job is a mapping as `Completion.complete` takes it. Files may come from anybody: lines have a
maximum length, and what is wrong with a line is said with its number.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from autopipe.errors import ArgumentError
from autopipe.json_files import check_parts
from autopipe.regular import opened
from autopipe.wording import error_summary, shown
from autopipe_requests.inputs import Text

MOST_JOBS = 1_000_000
"""The most jobs of a batch."""

LONGEST = 1 << 20
"""The longest line of a file, in bytes."""

STDIN = "-"
FORMATS = ("jsonl", "csv", "text")

_BY_SUFFIX = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".txt": "text"}
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_MOST_PARTS = 1 << 14
_RECORD = {"id", "request"}


@dataclass(frozen=True)
class Line:
    """A job in a file.

    Attributes:
        number: the number of its line, from 1.
        given: its keys and values; None if the line is not valid.
        error: what is wrong with the line.
    """

    number: int
    given: Mapping[str, Any] | None
    error: str = ""


def read_jobs(file: str, form: str | None = None) -> Iterator[Line]:
    """Yield the jobs in a file.

    Args:
        file: the file; `-` is standard input.
        form: one of `FORMATS`; by default that of the suffix, else `jsonl` if the first line that
            is not empty begins with `{`, else `text`.

    Raises:
        ArgumentError: if the file can't be read, or has more than `MOST_JOBS` jobs.
    """
    try:
        with sys.stdin.buffer if file == STDIN else opened(Path(file).expanduser()) as stream:
            found = _lines(stream, file)
            first = next(found, None)
            if first is None:
                return
            chosen = form or _BY_SUFFIX.get(Path(file).suffix.lower())
            if chosen is None:
                chosen = "jsonl" if first[1].lstrip().startswith("{") else "text"
            everything = _chain(first, found)
            jobs = _READERS[chosen](everything)
            for count, line in enumerate(jobs, start=1):
                if count > MOST_JOBS:
                    raise ArgumentError(
                        f"{shown(file)} has more than {MOST_JOBS:,} jobs; divide it into several "
                        f"files"
                    )
                yield line
    except FileNotFoundError:
        raise ArgumentError(f"there is no file {shown(file)}; check the path of the jobs") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: an unknown user in the path.
        raise ArgumentError(
            f"the jobs {shown(file)} can't be read: {error_summary(error)}; give a file of JSON "
            f"lines, a CSV file, a text file with a prompt on each line, or - for standard input"
        ) from error


_Numbered = tuple[int, str, str]
"""The number of a line, its text, and what is wrong with it."""


def _chain(first: _Numbered, rest: Iterable[_Numbered]) -> Iterator[_Numbered]:
    yield first
    yield from rest


def _lines(stream: BinaryIO, file: str) -> Iterator[_Numbered]:
    """Yield the lines that are not empty."""
    number = 0
    while raw := stream.readline(LONGEST + 1):
        number += 1
        if number == 1:
            if raw.startswith(_WIDE):
                raise ArgumentError(f"{shown(file)} is in UTF-16; save it in UTF-8")
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if len(raw) > LONGEST and not raw.endswith(b"\n"):
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(LONGEST)
            yield number, "", f"it has more than {LONGEST:,} bytes"
            continue
        try:
            text = raw.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            at = f"byte {error.start + 1} is {raw[error.start]:#04x}"
            yield number, raw.decode("utf-8", "replace").rstrip("\r\n"), f"it is not UTF-8: {at}"
            continue
        if text.strip():
            yield number, text, ""


def _prompts(lines: Iterable[_Numbered]) -> Iterator[Line]:
    for number, text, error in lines:
        yield Line(number, None, error) if error else Line(number, {"prompt": text.strip()})


def _objects(lines: Iterable[_Numbered]) -> Iterator[Line]:
    for number, text, error in lines:
        yield Line(number, None, error) if error else _object(number, text)


def _object(number: int, text: str) -> Line:
    try:
        check_parts(text.encode(), _MOST_PARTS)
        found = json_value(text)
    except json.JSONDecodeError as wrong:
        return Line(number, None, f"it is not JSON: {wrong.msg} at character {wrong.pos + 1}")
    except RecursionError:
        return Line(number, None, "it is nested too deeply")
    except ValueError as wrong:
        return Line(number, None, f"it is not JSON: {wrong}")
    if not isinstance(found, dict):
        return Line(number, None, f'it is {shown(found)}, not an object like {{"prompt": "a hut"}}')
    request = found["request"] if found.keys() >= _RECORD else found
    if not isinstance(request, dict):
        return Line(number, None, "the request of a record must be an object")
    return Line(number, request)


def _rows(lines: Iterable[_Numbered]) -> Iterator[Line]:
    """Yield a job for each row of CSV after the header, in which empty cells are left out."""
    numbers: list[int] = []
    errors: list[str] = []

    def texts() -> Iterator[str]:
        for number, text, error in lines:
            numbers.append(number)
            if error:
                errors.append(error)
            yield text + "\n"

    rows, header = csv.reader(texts(), strict=True), None
    while True:
        numbers.clear()
        errors.clear()
        try:
            row = next(rows, None)
        except csv.Error as wrong:
            errors.append(f"it is not CSV: {wrong}")
            row = []
        if row is None:
            return
        number = numbers[0] if numbers else 0
        if header is None:
            header = [name.strip() for name in row]
            twice = next((name for name in header if header.count(name) > 1), None)
            if errors or twice is not None or not all(header):
                why = errors[0] if errors else "each column needs a name of its own"
                raise ArgumentError(f"line {number}, the header of the CSV, is not valid: {why}")
        elif errors:
            yield Line(number, None, errors[0])
        elif len(row) > len(header):
            yield Line(number, None, f"it has {len(row)} cells, and the header {len(header)}")
        else:
            yield Line(number, {n: Text(cell) for n, cell in zip(header, row) if cell.strip()})


_READERS = {"jsonl": _objects, "csv": _rows, "text": _prompts}


def json_value(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: if it isn't valid, has NaN or infinite numbers, a key twice, or half of a
            surrogate pair.
        RecursionError: if it is nested too deeply.
    """
    found = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
    if "\\u" in text:
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("it has half of a surrogate pair") from None
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has {shown(max(names, key=names.count))} twice")
    return found
