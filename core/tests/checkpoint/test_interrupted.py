"""Saves that are killed, or find the disk full: the old checkpoint or the new one is there."""

from __future__ import annotations

import hashlib
import itertools
import os
import pkgutil
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import nn

from autopipe.errors import CheckpointError

from .conftest import TinyNet, TinyPipeline


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
_EVENTS = ("open", "os.")
_READING = ("os.scandir", "os.listdir")

_LONGEST_SAVE = 0.05
"""Seconds. The first one may have to wait for a busy machine, those after it take less."""


def _kill_at(event: str, arguments: tuple[Any, ...]) -> None:
    global _left
    if _left < 0 or not event.startswith(_EVENTS) or event in _READING:
        return
    if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
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


def outcome(folder: Path, load: Callable[[Path], list[nn.Module]]) -> str:
    """Whether the old weights are loaded, which are all 0, the new ones, or neither."""
    try:
        networks = load(folder)
    except CheckpointError as error:
        return "refused" if re.search("is incomplete|changed while", str(error)) else str(error)
    values = {float(t.min()) for n in networks for t in n.state_dict().values() if t.ndim}
    return {(0.0,): "old", (1.0,): "new"}.get(tuple(values), f"a mixture: {sorted(values)}")


def networks_of(folder: Path) -> list[nn.Module]:
    pipe = TinyPipeline.from_pretrained(folder, disable_mmap=True)
    return [pipe.net, pipe.text_encoder, pipe.checker]


def the_network_of(folder: Path) -> list[nn.Module]:
    return [TinyNet.from_pretrained(folder, disable_mmap=True)]


def filled(what: Any, value: float) -> Any:
    """`what`, a pipeline or a network, with all its weights being `value`."""
    several = [what] if isinstance(what, nn.Module) else [what.net, what.text_encoder, what.checker]
    with torch.no_grad():
        for parameter in (p for network in several for p in network.parameters()):
            parameter.fill_(value)
    return what


@pytest.fixture(params=["folder", "mount", "network"])
def place(request: pytest.FixtureRequest, pipe: TinyPipeline) -> Iterator[Place]:
    """Saved weights of 0: of a pipeline in a folder or a mounted one, of a network on its own."""
    # In memory, where there is such a place: the disks of a test machine may be slow.
    memory = Path("/dev/shm")
    top = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    folder = top / "place"
    folder.mkdir()
    with mounted(folder) if request.param == "mount" else nullcontext():
        if request.param == "network":
            yield Place(folder, filled(pipe.net, 0), the_network_of)
        else:
            yield Place(folder, filled(pipe, 0), networks_of)
    shutil.rmtree(top)


class Place:
    """A folder, and what is saved in it."""

    def __init__(self, folder: Path, what: Any, load: Callable[[Path], list[nn.Module]]) -> None:
        self.folder, self.what, self.load = folder, what, load
        what.save_pretrained(folder)
        self._old = [(p, p.read_bytes()) for p in folder.rglob("*") if p.is_file()]

    def restore(self) -> None:
        """Make it as it was, with nothing beside."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path, written in self._old:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(written)

    @property
    def outcome(self) -> str:
        return outcome(self.folder, self.load)

    def save_on(self, pause: float = 0, **keywords: Any) -> None:
        """Save one state after another for ever, with longer and longer pauses up to five."""
        for number in itertools.count(1):
            filled(self.what, number % 2).save_pretrained(self.folder, **keywords)
            time.sleep(pause * (number % 6))


@pytest.mark.parametrize(
    ("place", "keywords"),
    [
        ("folder", {"max_shard_size": 300}),
        ("mount", {"safe_serialization": False}),
        ("network", {"max_shard_size": 300}),
    ],
    indirect=["place"],
)
def test_killed_at_any_moment_the_checkpoint_is_the_old_one_or_the_new_one_or_refused(
    place: Place, keywords: dict[str, Any]
) -> None:
    filled(place.what, 1)
    seen, code = [], -signal.SIGKILL
    while code == -signal.SIGKILL:
        moment = len(seen)
        code = killed_after(moment, lambda: place.what.save_pretrained(place.folder, **keywords))
        seen.append(place.outcome)
        if seen[-1] == "refused":
            # No library takes it for a checkpoint.
            heads = [place.folder / "model_index.json", *place.folder.rglob("config.json")]
            assert not all(head.exists() for head in heads)
            # What the killed one left is gone after the next, which succeeds.
            place.what.save_pretrained(place.folder)
            assert place.outcome == "new"
            assert not [p for p in place.folder.rglob("*") if "saving" in p.name]
        place.restore()
    assert code == 0
    assert set(seen) == {"old", "refused", "new"}
    # In this order.
    assert seen == sorted(seen, key=["old", "refused", "new"].index)


def test_killed_at_random_moments(place: Place) -> None:
    """A process saves one state after another until it is killed; 200 times at each place."""
    start = time.monotonic()
    place.what.save_pretrained(place.folder)
    one_save = min(time.monotonic() - start, _LONGEST_SAVE)
    random = Random(0)
    seen: Counter[str] = Counter()
    for _ in range(200):
        child = started(place.save_on)
        time.sleep(random.uniform(0, 3 * one_save))
        killed(child)
        seen[place.outcome] += 1
    print(dict(seen))
    # When a kill comes is up to the machine; what it may leave is not.
    assert seen.keys() <= {"old", "new", "refused"}
    assert seen["refused"] < 200


def test_loading_while_another_process_saves(place: Place) -> None:
    """One state or the other, or an error that says why neither."""
    child = started(lambda: place.save_on(pause=0.02, max_shard_size=200))
    try:
        seen = Counter(place.outcome for _ in range(100))
        # Loads may all fall into one save, where the machine is busy.
        while not seen["old"] + seen["new"] and seen.total() < 5000:
            seen[place.outcome] += 1
    finally:
        killed(child)
    assert seen.keys() <= {"old", "new", "refused"}
    assert seen["old"] + seen["new"] > 0


def part_of(folder: Path) -> list[nn.Module]:
    return [TinyNet.from_pretrained(folder, subfolder="net", disable_mmap=True)]


@pytest.mark.parametrize(
    ("place", "load", "at"),
    [
        ("folder", networks_of, 2),
        ("folder", part_of, 1),
        ("network", the_network_of, 1),
    ],
    indirect=["place"],
)
@pytest.mark.parametrize("between", ["checkpoint.load_component", "load.read_weights"])
def test_a_save_in_the_middle_of_a_load_is_said(
    place: Place, load: Any, at: int, between: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a component is read, the `at`th, and between its config and its weights."""
    target = f"autopipe.checkpoint.{between}"
    read, calls = pkgutil.resolve_name(target), 0

    def saved_first(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            in_a_child(lambda: filled(place.what, 1).save_pretrained(place.folder))
        return read(*arguments, **keywords)

    monkeypatch.setattr("autopipe.checkpoint.checkpoint._THREADS", 1)
    monkeypatch.setattr(target, saved_first)
    with pytest.raises(CheckpointError, match="changed while"):
        load(place.folder)
    assert calls >= at


def started(run: Callable[[], Any]) -> int:
    """A child in which `run` never ends by itself."""
    child = os.fork()
    if child == 0:
        try:
            run()
        finally:
            os._exit(1)
    return child


def killed(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@contextmanager
def mounted(place: Path, size: str = "64m") -> Iterator[None]:
    """A file system at `place`, where one may be mounted."""
    line = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
    try:
        done = subprocess.run(line, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip("this user may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    with mounted(place, "64k"):
        yield place


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
