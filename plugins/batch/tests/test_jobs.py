"""Reading jobs: each format, and what is said about lines that are not valid."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from autopipe.errors import ArgumentError
from autopipe_batch import jobs
from autopipe_batch.jobs import LONGEST, Line, read_jobs
from autopipe_requests.inputs import Text


@pytest.fixture
def read(tmp_path: Path):
    def of(content: str | bytes, name: str = "jobs.jsonl", form: str | None = None) -> list[Line]:
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_jobs(str(file), form))

    return of


def test_a_request_on_each_line(read) -> None:
    assert read('{"prompt": "a"}\n\n  {"prompt": "b", "steps": 3}') == [
        Line(1, {"prompt": "a"}),
        Line(3, {"prompt": "b", "steps": 3}),
    ]


def test_bom_and_windows_line_ends(read) -> None:
    assert read(b'\xef\xbb\xbf{"prompt": "a"}\r\n{"prompt": "b"}\r\n') == [
        Line(1, {"prompt": "a"}),
        Line(2, {"prompt": "b"}),
    ]


def test_a_record_gives_its_request(read) -> None:
    record = {"id": "0" * 32, "request": {"seed": 1}, "drawn": {}}
    assert read(json.dumps(record)) == [Line(1, {"seed": 1})]


def test_empty_files_have_no_jobs(read) -> None:
    for name in ("a.jsonl", "a.csv", "a.txt"):
        assert read("", name) == read("\n \n", name) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"[1]", "not an object"),
        (b"17", "not an object"),
        (b'{"a": 1', "not JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1, "a": 2}', "'a' twice"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"[" * 100_000, "entries|nested"),
        (b'{"a": ' * 9_000, "nested|entries|not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"a": "\xe9"}', "byte 8 is 0xe9"),
        (b'{"id": "x", "request": 3}', "must be an object"),
        (b'{"a": "' + b"x" * LONGEST + b'"}', "more than 1,048,576 bytes"),
    ],
)
def test_lines_that_are_not_valid_are_named(read, line: bytes, told: str) -> None:
    first, bad, last = read(b'{"prompt": "a"}\n' + line + b'\n{"prompt": "b"}\n')
    assert (first.given, last.given, last.number) == ({"prompt": "a"}, {"prompt": "b"}, 3)
    assert bad.number == 2
    assert bad.given is None
    assert any(part in bad.error for part in told.split("|")), bad.error


def test_a_prompt_on_each_line(read) -> None:
    assert read("a hut\n\n  {a} tree \n", "jobs.txt") == [
        Line(1, {"prompt": "a hut"}),
        Line(3, {"prompt": "{a} tree"}),
    ]


def test_the_header_of_csv_has_the_names(read) -> None:
    content = 'prompt, steps,negative\n"a, ""b""\nc",3,\n\nd,,e\n'
    assert read(content, "jobs.csv") == [
        Line(2, {"prompt": 'a, "b"\nc', "steps": "3"}),
        Line(5, {"prompt": "d", "negative": "e"}),
    ]
    assert isinstance(read(content, "jobs.csv")[0].given["steps"], Text)


def test_csv_that_is_not_valid_is_named(read) -> None:
    first, second, third = read('a,b\n1,2,3\n"x"y,1\n4,5\n', "jobs.csv")
    assert first == Line(2, None, "it has 3 cells, and the header 2")
    assert second.number == 3
    assert "not CSV" in second.error
    assert third == Line(4, {"a": "4", "b": "5"})
    [wrong] = read(b"a\n\xff\n", "jobs.csv")
    assert wrong.number == 2
    assert "UTF-8" in wrong.error


@pytest.mark.parametrize("header", ["a,a\n1,2\n", "a,\n1,2\n", b"\xff\n1\n"])
def test_the_header_of_csv_must_be_valid(read, header) -> None:
    with pytest.raises(ArgumentError, match="line 1, the header"):
        read(header, "jobs.csv")


def test_the_format_follows_suffix_option_and_first_line(read) -> None:
    assert read('{"prompt": "a"}', "jobs.txt")[0].given == {"prompt": '{"prompt": "a"}'}
    assert read('{"prompt": "a"}', "jobs.txt", "jsonl")[0].given == {"prompt": "a"}
    assert read('\n {"prompt": "a"}', "jobs")[0].given == {"prompt": "a"}
    assert read("prompt,steps\na,3", "jobs")[0].given == {"prompt": "prompt,steps"}
    assert read("prompt,steps\na,3", "jobs", "csv")[0].given == {"prompt": "a", "steps": "3"}


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(buffer=io.BytesIO(b"a hut\n"))
    monkeypatch.setattr(jobs.sys, "stdin", stream)
    assert list(read_jobs("-")) == [Line(1, {"prompt": "a hut"})]


def test_files_that_cannot_be_read(tmp_path: Path, read) -> None:
    with pytest.raises(ArgumentError, match=r"there is no file .*absent"):
        list(read_jobs(str(tmp_path / "absent.jsonl")))
    with pytest.raises(ArgumentError, match="a folder, not a regular file"):
        list(read_jobs(str(tmp_path)))
    with pytest.raises(ArgumentError, match="UTF-16"):
        read("a hut".encode("utf-16"), "jobs.txt")


def test_the_number_of_jobs_is_limited(read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_JOBS", 2)
    assert len(read("a\nb\n", "a.txt")) == 2
    with pytest.raises(ArgumentError, match="more than 2 jobs"):
        read("a\nb\nc\n", "a.txt")
