from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from autopipe import regular
from autopipe.regular import look, opened, replaced


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
        with pytest.raises(OSError, match=f"it is a {kind}, not a regular file"):
            function(place)
    # Also where it gets there between the look and the opening.
    if kind != "socket":
        monkeypatch.setattr(regular, "look", lambda *arguments: None)
        with pytest.raises(OSError, match=f"it is a {kind}, not a regular file"):
            opened(place)


def test_a_file_has_at_most_so_many_bytes(tmp_path: Path) -> None:
    file = tmp_path / "x"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(OSError, match=r"1,099,511,627,776 bytes.*limit for such files is 100"):
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
        with pytest.raises(OSError, match="limit for such files is 3"):
            opened(tmp_path / "x", 3)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_stays_whole_until_the_new_one_is(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("old")
    file.chmod(0o640)

    def interrupted() -> None:
        with replaced(file) as new:
            new.write_text("ne")
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert file.read_text() == "old"
    with replaced(file) as new:
        new.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def test_a_link_stays_a_link_and_its_end_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for end in ("old", "new"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(tmp_path / "there" / end)
        with replaced(tmp_path / "link") as new:
            new.write_text("text")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "there" / end).read_text() == "text"


def test_a_device_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    with replaced(tmp_path / "null") as new:
        new.write_text("text")
    assert Path("/dev/null").is_char_device()
    read, write = os.pipe()
    with replaced(f"/dev/fd/{write}") as new:
        new.write_text("text")
    assert os.read(read, 10) == b"text"
    os.close(read)
    os.close(write)


def test_a_file_in_a_folder_that_is_not_ours_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_text("old")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and access(path, mode))
    with replaced(tmp_path / "x") as new:
        assert new == tmp_path / "x"
        new.write_text("new")
    assert (tmp_path / "x").read_text() == "new"


def test_a_folder_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), replaced(tmp_path) as new:
        new.write_text("text")
