from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autopipe.checkpoint import atomic
from autopipe.checkpoint.atomic import replaced_folder
from autopipe.errors import ArgumentError, CheckpointError


def nothing(path: str) -> bool:
    return False


def content(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()
    }


def write_and_fail(target: Path, error: Exception) -> None:
    with replaced_folder(target, nothing) as folder:
        (folder / "a").write_text("new a")
        raise error


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("old a")
    (folder / "b").write_text("old b")
    (folder / "sub" / "c").write_text("old c")
    (folder / "link").symlink_to("a")
    return folder


def test_a_new_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    with replaced_folder(target, nothing) as folder:
        (folder / "a").write_text("new")
        assert not target.exists()
    assert content(target) == {"a": "new"}
    assert [p.name for p in target.parent.iterdir()] == ["target"]


def test_other_files_stay_and_stale_ones_go(old: Path) -> None:
    with replaced_folder(old, lambda path: path == "b") as folder:
        (folder / "a").write_text("new a")
    assert content(old) == {"a": "new a", "sub/c": "old c", "link": "new a"}
    assert (old / "link").is_symlink()


@pytest.mark.parametrize("exchange", [True, False])
def test_an_error_leaves_the_old_folder(
    old: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    before = content(old)
    with pytest.raises(RuntimeError):
        write_and_fail(old, RuntimeError())
    assert content(old) == before
    with replaced_folder(old, nothing) as folder:
        (folder / "a").write_text("new a")
    assert content(old) == {**before, "a": "new a", "link": "new a"}
    assert [p.name for p in old.parent.iterdir()] == ["target"]


def test_a_full_disk_is_said_and_leaves_the_old_folder(old: Path) -> None:
    before = content(old)
    with pytest.raises(CheckpointError, match=r"disk is full.*unchanged"):
        write_and_fail(old, OSError(errno.ENOSPC, "No space left on device"))
    assert content(old) == before
    assert [p.name for p in old.parent.iterdir()] == ["target"]


def test_the_folder_one_stands_in_keeps_its_place(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(old / "sub")
    with replaced_folder("..", lambda path: path == "b") as folder:
        (folder / "a").write_text("new a")
    assert Path.cwd() == old / "sub"
    assert content(old) == {"a": "new a", "sub/c": "old c", "link": "new a"}


def test_a_link_to_a_folder_stays_a_link(old: Path) -> None:
    link = old.parent / "link"
    link.symlink_to(old)
    with replaced_folder(link, nothing) as folder:
        (folder / "a").write_text("new a")
    assert link.is_symlink()
    assert (old / "a").read_text() == "new a"


def test_a_folder_with_too_much_in_it_is_refused(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic, "_MOST_FILES", 2)
    before = content(old)
    with (
        pytest.raises(ArgumentError, match="folder of its own"),
        replaced_folder(old, nothing) as folder,
    ):
        (folder / "a").write_text("new a")
    assert content(old) == before


KILLED = """
import sys
from pathlib import Path
from autopipe.checkpoint.atomic import replaced_folder
n = 0
print("ready", flush=True)
while True:
    n += 1
    with replaced_folder(sys.argv[1], lambda path: False) as folder:
        for name in "abcdefgh":
            (folder / name).write_text(str(n) * 1000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere two renames leave a short gap")
def test_killed_at_any_moment_the_folder_is_old_or_new(tmp_path: Path) -> None:
    target = tmp_path / "target"
    for delay in (0.003, 0.011, 0.02, 0.037):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        while not target.exists():
            time.sleep(0.001)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found = content(target)
        assert sorted(found) == list("abcdefgh")
        assert len(set(found.values())) == 1


SAVING = """
import sys
from autopipe.checkpoint.atomic import replaced_folder
with replaced_folder(sys.argv[1], lambda path: False) as folder:
    (folder / "a").write_text(sys.argv[2])
    print(folder, flush=True)
    sys.stdin.readline()
"""


def start_saving(target: Path, text: str) -> tuple[subprocess.Popen[str], Path]:
    """A process in the middle of a save, and its temporary folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", SAVING, str(target), text],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.mark.skipif(sys.platform == "win32", reason="no file locks that end with a process")
def test_what_a_killed_save_left_goes_with_the_next(old: Path) -> None:
    (old.parent / ".target2.saving-123").mkdir()
    killed, left = start_saving(old, "of the killed")
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert (left / "a").read_text() == "of the killed"
    living, in_use = start_saving(old, "of the living")
    with replaced_folder(old, nothing) as folder:
        (folder / "a").write_text("new a")
    assert content(old)["a"] == "new a"
    assert not left.exists()
    assert (in_use / "a").read_text() == "of the living"
    living.communicate("go on\n")
    assert living.returncode == 0
    assert content(old)["a"] == "of the living"
    assert sorted(p.name for p in old.parent.iterdir()) == [".target2.saving-123", "target"]


@pytest.mark.skipif(sys.platform == "win32", reason="no file locks that end with a process")
def test_the_old_folder_is_kept_until_there_is_a_new_one(tmp_path: Path) -> None:
    """Where two folders can't change places, a kill may find neither under the target's name."""
    aside = tmp_path / ".target.saving-123.old"
    aside.mkdir()
    with pytest.raises(RuntimeError):
        write_and_fail(tmp_path / "target", RuntimeError())
    assert aside.exists()
    for _ in range(2):
        with replaced_folder(tmp_path / "target", nothing) as folder:
            (folder / "a").write_text("new a")
    assert not aside.exists()
