"""The journal: what is on the disk after each line, after a kill, and with a full disk."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autopipe.errors import ArgumentError, CheckpointError
from autopipe_batch.history import read_history
from autopipe_batch.journal import Journal
from autopipe_batch.work import Outcome

A, B = "a" * 32, "b" * 32


def lines(folder: Path, name: str = "manifest.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_each_outcome_is_a_line_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new" / "out"
    synced: list[int] = []
    fsync = os.fsync

    def counting(number: int) -> None:
        fsync(number)
        synced.append(os.fstat(number).st_size)

    monkeypatch.setattr(os, "fsync", counting)
    with Journal(folder) as journal:
        journal.begin(2)
        journal.add(
            Outcome(id=A, state="failed", error="no\n\x1b[31m room", worker="w", seconds=1.23456)
        )
        assert synced[-1] == (folder / "manifest.jsonl").stat().st_size
        journal.add(Outcome(id=A, state="done", file=f"{A}.png", sha256="0" * 64))
    header, first, second = lines(folder)
    assert header == {"format": 1, "threads": 2}
    assert first.pop("time") <= second.pop("time")
    assert first == {
        "id": A, "state": "failed", "attempts": 1, "seconds": 1.235, "worker": "w",
        "error": r"no \x1b[31m room",
    }  # fmt: skip
    assert second == {
        "id": A, "state": "done", "attempts": 2, "seconds": 0.0, "worker": "",
        "file": f"{A}.png", "sha256": "0" * 64,
    }  # fmt: skip


def test_a_run_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    for state in ("died", "failed"):
        with Journal(tmp_path) as journal:
            journal.begin(2)
            journal.add(Outcome(id=A, state=state))  # type: ignore[arg-type]
    found = read_history(tmp_path)
    assert (found.entries[A].attempts, found.deaths) == (2, {A: 1})
    assert [line.get("format") for line in lines(tmp_path)] == [1, None, None]


def test_a_file_that_was_found_is_no_attempt(tmp_path: Path) -> None:
    with Journal(tmp_path) as journal:
        journal.begin(1)
        journal.add(Outcome(id=A, state="failed"))
        assert journal.add(Outcome(id=A, state="done"), tried=False).attempts == 1


@pytest.mark.parametrize("rest", [b'{"id":"aa', b"x" * 10_000, b"\0" * 5000])
def test_an_incomplete_last_line_is_cut_off(tmp_path: Path, rest: bytes) -> None:
    with Journal(tmp_path) as journal:
        journal.begin(2)
        journal.add(Outcome(id=A, state="done"))
    with (tmp_path / "manifest.jsonl").open("ab") as stream:
        stream.write(rest)
    with Journal(tmp_path) as journal:
        assert list(journal.history.entries) == [A]
        journal.begin(2)
        journal.add(Outcome(id=B, state="done"))
    assert [line.get("id") for line in lines(tmp_path)] == [None, A, B]


def test_a_file_that_is_only_an_incomplete_line_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(b'{"form')
    with Journal(tmp_path) as journal:
        journal.begin(4)
    assert lines(tmp_path) == [{"format": 1, "threads": 4}]


def test_parts_have_files_of_their_own(tmp_path: Path) -> None:
    with Journal(tmp_path, "1-of-2") as one, Journal(tmp_path, "2-of-2") as two:
        for journal, job in ((one, A), (two, B)):
            journal.begin(1)
            journal.add(Outcome(id=job, state="done"))
    assert lines(tmp_path, "manifest-1-of-2.jsonl")[1]["id"] == A
    assert set(read_history(tmp_path).entries) == {A, B}


def test_one_run_at_a_time(tmp_path: Path) -> None:
    told = f"another run draws into '{tmp_path}'"
    with Journal(tmp_path), pytest.raises(ArgumentError, match=told):
        Journal(tmp_path).__enter__()
    with Journal(tmp_path):
        pass


def test_a_killed_run_frees_its_folder_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from autopipe_batch.journal import Journal\n"
        "with Journal(pathlib.Path(sys.argv[1])) as journal:\n"
        "    journal.begin(1)\n"
        "    (journal.unfinished / 'x.png').write_bytes(b'half')\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with pytest.raises(ArgumentError, match="another run"):
            Journal(tmp_path).__enter__()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    left = tmp_path / ".autopipe-saving-manifest"
    other = tmp_path / ".autopipe-saving-0123-file"
    other.write_bytes(b"of another program")
    assert (left / "x.png").exists()
    with Journal(tmp_path):
        assert not left.exists()
    assert other.exists()


def test_a_link_in_place_of_unfinished_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").touch()
    (tmp_path / ".autopipe-saving-manifest").symlink_to(tmp_path / "theirs")
    with Journal(tmp_path):
        pass
    assert (tmp_path / "theirs" / "file").exists()


def test_a_full_disk_leaves_no_part_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    room = [20]

    def full(number: int, content: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(number, content[: room[0]])
        room[0] -= written
        return written

    with Journal(tmp_path) as journal:
        journal.begin(1)
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            journal.add(Outcome(id=B, state="done"))
        monkeypatch.undo()
        journal.add(Outcome(id=A, state="done"))
    assert [line.get("id") for line in lines(tmp_path)] == [None, A]


def test_lines_of_jobs_are_set_aside_once(tmp_path: Path) -> None:
    for _ in range(2):
        with Journal(tmp_path) as journal:
            journal.begin(1)
            journal.add_wrong([(3, "no\nJSON")])
    assert [line.get("error") for line in lines(tmp_path)] == [None, "no JSON"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"can't be written.*give another folder"):
        Journal(tmp_path / "file").__enter__()
