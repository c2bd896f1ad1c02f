from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from autopipe import regular
from autopipe.regular import look, opened


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """What would wait for ever fails instead."""
    signal.alarm(30)
    yield
    signal.alarm(0)


def make(place: Path, kind: str) -> Path:
    if kind == "named pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(place))
    elif kind == "folder":
        place.mkdir()
    else:
        place.symlink_to("/dev/zero")
    return place


@pytest.mark.parametrize("kind", ["named pipe", "socket", "folder", "device"])
def test_what_is_no_regular_file_is_told_by_its_kind(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make(tmp_path / "x", kind)
    for function in (look, opened):
        with pytest.raises(OSError, match=f"it is a {kind} where a file is expected"):
            function(place)
    # Also where it gets there between the look and the opening.
    if kind != "socket":
        monkeypatch.setattr(regular, "look", lambda *arguments: None)
        with pytest.raises(OSError, match=f"it is a {kind} where"):
            opened(place)


def test_a_file_has_at_most_so_many_bytes(tmp_path: Path) -> None:
    file = tmp_path / "x"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(OSError, match=r"1,099,511,627,776 bytes.*more than 100"):
        opened(file, 100)
    file.write_bytes(b"four")
    (tmp_path / "link").symlink_to(file)
    with opened(tmp_path / "link", 4) as stream:
        assert stream.read() == b"four"


@pytest.mark.parametrize("name", ["absent", "a\0b", "half \ud83d"])
def test_what_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / name)


def test_a_refused_file_stays_not_open(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"four")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(OSError, match="more than 3"):
            opened(tmp_path / "x", 3)
    assert len(os.listdir("/proc/self/fd")) == before
