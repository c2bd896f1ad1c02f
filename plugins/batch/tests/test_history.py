"""What manifests say: several files together, and lines that are damaged or hostile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autopipe.errors import ArgumentError, CheckpointError
from autopipe_batch.history import read_history

A, B = "a" * 32, "b" * 32


def line(id: str, state: str, time: str = "", **more: object) -> str:
    return json.dumps({"id": id, "state": state, "time": time, **more}) + "\n"


def test_a_new_folder_has_no_history(tmp_path: Path) -> None:
    found = read_history(tmp_path / "absent")
    assert (found.entries, found.threads, found.unreadable) == ({}, None, [])


def test_the_last_line_of_a_job_counts(tmp_path: Path) -> None:
    lines = ['{"format":1,"threads":3}\n', line(A, "failed"), line(B, "done"), line(A, "done")]
    (tmp_path / "manifest.jsonl").write_text("".join(lines))
    found = read_history(tmp_path)
    assert {one: entry.state for one, entry in found.entries.items()} == {A: "done", B: "done"}
    assert found.threads == 3


def test_files_of_several_programs_are_united(tmp_path: Path) -> None:
    (tmp_path / "manifest-2-of-2.jsonl").write_text(line(A, "failed", "2026-01-01T00:00:01"))
    (tmp_path / "manifest-1-of-2.jsonl").write_text(
        line(A, "done", "2026-01-01T00:00:02") + line(B, "done", "2026-01-01T00:00:03")
    )
    (tmp_path / "manifest.jsonl").write_text(line(B, "failed", "2026-01-01T00:00:02"))
    (tmp_path / "manifesto.jsonl").write_text("nothing of ours")
    found = read_history(tmp_path)
    assert {one: entry.state for one, entry in found.entries.items()} == {A: "done", B: "done"}
    assert found.unreadable == []


def test_deaths_are_counted_over_runs(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text(line(A, "died") + line(B, "died"))
    (tmp_path / "manifest-x.jsonl").write_text(line(A, "died"))
    assert read_history(tmp_path).deaths == {A: 2, B: 1}


def test_an_incomplete_last_line_is_no_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text(line(A, "done") + line(B, "done")[:-20])
    found = read_history(tmp_path)
    assert list(found.entries) == [A]
    assert found.unreadable == []


@pytest.mark.parametrize(
    "bad",
    [
        b"{}",
        b"[" * 3000,
        b"\xff\xfe",
        b"\0" * 50,
        line("../" + A[3:], "done").encode()[:-1],
        line(A, "done", file="../../x.png").encode()[:-1],
        line(A, "done", file="/etc/passwd").encode()[:-1],
        line(A, "done", sha256="x").encode()[:-1],
        line(A, "gone").encode()[:-1],
        line(A, "done", attempts=10**30).encode()[:-1],
        line(A, "done", seconds=-1).encode()[:-1],
        line(A, "done", surprise=1).encode()[:-1],
        b'{"format":1,"threads":0}',
        b'{"line":-1,"error":""}',
        b'{"id": "' + b"x" * 100_000 + b'"}',
        b'{"id": "' + b"x" * ((1 << 16) - 9) + b'"}',
    ],
)
def test_lines_that_are_not_valid_are_named(tmp_path: Path, bad: bytes) -> None:
    content = bad + b"\n" + line(B, "done").encode()
    (tmp_path / "manifest.jsonl").write_bytes(content)
    found = read_history(tmp_path)
    assert list(found.entries) == [B]
    [told] = found.unreadable
    assert told.startswith("manifest.jsonl, line 1: ")
    assert len(told) <= 300


def test_lines_of_jobs_that_were_set_aside(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"line":3,"error":"no JSON"}\n')
    assert read_history(tmp_path).wrong == {(3, "no JSON")}


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"format":2,"threads":1}\n')
    with pytest.raises(ArgumentError, match=r"manifest\.jsonl has format 2"):
        read_history(tmp_path)


def test_a_manifest_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").mkdir()
    with pytest.raises(CheckpointError, match="a folder, not a regular file"):
        read_history(tmp_path)
