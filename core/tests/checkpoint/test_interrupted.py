"""Saves that are killed, or find the disk full: the old checkpoint or the new one is there."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe.errors import CheckpointError

from .conftest import TinyPipeline

linux = pytest.mark.skipif(sys.platform != "linux", reason="two folders change places on Linux")


def content(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file()
    }


def in_a_child(run: Callable[[], Any]) -> int:
    """Run in a fork of this process; its exit code, negative for a signal.

    A fork has all modules loaded: a hundred of them take a second or two.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run()
            code = 0
        except BaseException as error:
            os.write(2, repr(error).encode()[:600])
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


_left = -1
_EVENTS = ("open", "os.", "shutil.", "ctypes.")


def _kill_at(event: str, arguments: tuple[Any, ...]) -> None:
    global _left
    if _left < 0 or not event.startswith(_EVENTS):
        return
    _left -= 1
    if _left < 0:
        os.kill(os.getpid(), signal.SIGKILL)


sys.addaudithook(_kill_at)


def killed_after(events: int, run: Callable[[], Any]) -> int:
    """Run in a child that is killed when it has touched files so many times."""

    def counting() -> None:
        global _left
        _left = events + 1
        run()

    return in_a_child(counting)


@pytest.fixture
def changed(saved: Path) -> TinyPipeline:
    """The saved pipeline with other weights."""
    pipe: TinyPipeline = TinyPipeline.from_pretrained(saved, disable_mmap=True)
    with torch.no_grad():
        for network in (pipe.net, pipe.text_encoder, pipe.checker):
            for parameter in network.parameters():
                parameter += 1
    return pipe


@linux
@pytest.mark.parametrize("keywords", [{"max_shard_size": 300}, {"safe_serialization": False}])
def test_killed_at_any_moment_the_checkpoint_is_the_old_or_the_new_one(
    saved: Path, changed: TinyPipeline, tmp_path: Path, keywords: dict[str, Any]
) -> None:
    old = content(saved)
    (tmp_path / "apart").mkdir()
    copy = tmp_path / "apart" / "new"
    subprocess.run(["cp", "-r", saved, copy], check=True)
    changed.save_pretrained(copy, **keywords)
    new = content(copy)
    assert old != new

    moment, seen, code = 0, set(), -signal.SIGKILL
    while code == -signal.SIGKILL:
        code = killed_after(moment, lambda: changed.save_pretrained(saved, **keywords))
        found = content(saved)
        assert found in (old, new), f"killed at event {moment}"
        seen.add("old" if found == old else "new")
        if found == new and code == -signal.SIGKILL:
            subprocess.run(["rm", "-rf", saved], check=True)
            subprocess.run(["cp", "-r", copy, saved], check=True)
        # Many moments while files are written, every one once the folders changed places.
        moment += 5 if found == old else 1
        assert moment < 2000
    assert code == 0
    assert seen == {"old", "new"}
    # What the killed ones left is gone.
    changed.save_pretrained(saved, **keywords)
    assert [p.name for p in tmp_path.iterdir() if "saving" in p.name] == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB, where one may be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    try:
        done = subprocess.run(line, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("safe", [True, False])
def test_a_full_disk_is_said_and_leaves_the_old_checkpoint(
    small_disk: Path, pipe: TinyPipeline, safe: bool
) -> None:
    pipe.net.save_pretrained(small_disk / "saved", safe_serialization=safe)
    old = content(small_disk / "saved")
    larger = type(pipe.net)(width=200)
    with pytest.raises(CheckpointError, match=r"disk is full.*unchanged"):
        larger.save_pretrained(small_disk / "saved", safe_serialization=safe)
    assert content(small_disk / "saved") == old
    assert [p.name for p in small_disk.iterdir()] == ["saved"]


@pytest.mark.parametrize("safe", [True, False])
def test_any_other_error_of_writing_is_one_of_ours(
    saved: Path, changed: TinyPipeline, safe: bool
) -> None:
    """Files may have 500 bytes: the limit works in every writer, and needs no rights."""
    old = content(saved)

    def save() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        with pytest.raises(CheckpointError, match=r"can't be saved.*unchanged"):
            changed.save_pretrained(saved, safe_serialization=safe)

    assert in_a_child(save) == 0
    assert content(saved) == old
    assert [p.name for p in saved.parent.iterdir()] == ["saved"]
