"""When the settings of the C library's allocator are made and undone, and why not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from support.relay import relay

from autopipe.errors import CancelledError
from autopipe.placement import allocator
from autopipe.placement.allocator import Allocator, explanation, keeping_memory

CPU = torch.device("cpu")
TESTS = Path(__file__).parents[3] / "tests"

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -3, -4, -8
UNDONE = {
    MMAP_MAX: 65536,
    MMAP_THRESHOLD: 32 * 2**20,
    TRIM_THRESHOLD: 64 * 2**20,
}


class Libc:
    """Stands for glibc and keeps its settings."""

    def __init__(self) -> None:
        self.settings: dict[int, int] = {}
        self.changes = 0
        self.trims = 0

    def mallopt(self, parameter: int, value: int) -> int:
        self.settings[parameter] = value
        self.changes += 1
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.trims += 1
        return 1

    @property
    def keeps(self) -> bool:
        return self.settings.get(MMAP_MAX) == 0 and self.settings[TRIM_THRESHOLD] == -1


class Memory:
    """Stands for the private memory of the process, in bytes."""

    held = 2**30

    def __call__(self) -> int:
        return self.held


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    made = Memory()
    monkeypatch.setattr(allocator, "_private_memory", made)
    return made


@pytest.fixture
def libc(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> Libc:
    """What the process has as its C library."""
    made = Libc()
    fake = Allocator(made)
    monkeypatch.setattr(allocator, "_allocator", lambda: fake)
    monkeypatch.delenv(allocator.VARIABLE, raising=False)
    return made


# During a call


def test_memory_is_kept_during_a_call_and_no_longer(libc: Libc) -> None:
    pipe = relay()
    kept = []
    pipe(callback=lambda run, step: kept.append(libc.keeps))
    assert kept == [True, True]
    assert libc.settings == UNDONE


def test_a_call_inside_a_call_leaves_the_settings_to_the_outer_one(libc: Libc) -> None:
    pipe, other = relay(), relay()
    kept = []

    def call(run: Any, step: int) -> None:
        other()
        kept.append(libc.keeps)

    pipe(callback=call)
    assert kept == [True, True]
    assert libc.settings == UNDONE


@pytest.mark.parametrize("error", [ValueError, CancelledError, KeyboardInterrupt])
def test_the_settings_are_undone_after_a_call_that_fails(
    error: type[BaseException], libc: Libc
) -> None:
    def fail(run: Any, step: int) -> None:
        assert libc.keeps
        raise error("in a step")

    with pytest.raises(error):
        relay()(callback=fail)
    assert libc.settings == UNDONE


def test_the_last_of_several_threads_undoes_the_settings(libc: Libc) -> None:
    pipe = relay()
    together, last = threading.Barrier(8), threading.Event()
    kept: list[bool] = []

    def draw(number: int) -> None:
        def wait(run: Any, step: int) -> None:
            if step == 0:
                together.wait(30)
            if number == 0 and step == 1:
                assert last.wait(30)
                kept.append(libc.keeps)

        pipe(callback=wait)

    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(draw, number) for number in range(8)]
        for call in calls[1:]:
            call.result(30)
        assert libc.keeps, "one call is still running"
        last.set()
        calls[0].result(30)
    assert kept == [True]
    assert libc.settings == UNDONE
    before = libc.changes
    pipe()
    assert libc.changes > before, "the next call starts from nothing"


def test_what_was_kept_is_returned_if_it_is_much(libc: Libc, memory: Memory) -> None:
    def grow(by: int) -> None:
        with keeping_memory(CPU):
            memory.held += by

    grow(2**30)
    assert libc.trims == 1
    grow(2**20)
    grow(-(2**30))
    assert libc.trims == 1, "the next call would only fetch it again"


def test_a_process_forked_during_a_call_begins_anew(libc: Libc, memory: Memory) -> None:
    made = Allocator(libc)
    with made.keeping():
        made.begin_anew()
        assert libc.settings == UNDONE
        with made.keeping():
            assert libc.keeps
        assert libc.settings == UNDONE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes can't be forked here")
def test_a_call_that_forks_ends_once_in_each_process(libc: Libc) -> None:
    script = """
import os
import test_allocator as ours
from autopipe.placement.allocator import Allocator
libc = ours.Libc()
made = Allocator(libc)
os.register_at_fork(after_in_child=made.begin_anew)
with made.keeping():
    child = os.fork()
    assert libc.keeps == bool(child)
assert libc.settings == ours.UNDONE
with made.keeping():
    assert libc.keeps
assert libc.settings == ours.UNDONE
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, env=where)


# For a program


def test_a_program_keeps_memory_between_calls(libc: Libc) -> None:
    with keeping_memory(CPU, in_new_threads=True):
        assert libc.settings[ARENA_MAX] == 1
        relay()()
        assert libc.keeps
    del libc.settings[ARENA_MAX]
    assert libc.settings == UNDONE


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_ARENA_MAX", "4"), ("GLIBC_TUNABLES", "glibc.malloc.arena_max=4")],
)
def test_a_program_leaves_the_arenas_that_its_user_set(
    name: str, value: str, libc: Libc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with keeping_memory(CPU, in_new_threads=True):
        assert ARENA_MAX not in libc.settings
        assert libc.keeps


# Whether it is done at all


def test_a_variable_turns_it_off(libc: Libc, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = relay()
    kept = pipe()
    assert "kept for the next step (AUTOPIPE_ALLOCATOR=0" in pipe.explain()
    changes = libc.changes
    monkeypatch.setenv("AUTOPIPE_ALLOCATOR", "0")
    assert torch.equal(pipe(), kept)
    with keeping_memory(CPU, in_new_threads=True):
        pass
    assert libc.changes == changes
    assert pipe.explain().endswith("is not kept for the next step: AUTOPIPE_ALLOCATOR=0 is set")


def test_calls_on_an_accelerator_leave_it_alone(libc: Libc) -> None:
    with keeping_memory(torch.device("cuda", 1)):
        assert not libc.settings
    assert explanation(torch.device("cuda", 1)).endswith("calls compute on cuda:1")


@pytest.fixture
def glibc(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> Libc:
    """A C library that is glibc, and serves the process."""
    made = Libc()
    monkeypatch.setattr(allocator, "_glibc", lambda: made)
    monkeypatch.setattr(allocator, "_serves", lambda libc: True)
    monkeypatch.setattr(allocator, "_allocator", allocator._allocator.__wrapped__)
    monkeypatch.setattr(os, "register_at_fork", lambda after_in_child: None)
    for name in ("AUTOPIPE_ALLOCATOR", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    return made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "100000"),
        ("MALLOC_MMAP_MAX_", "0"),
        ("MALLOC_MMAP_THRESHOLD_", "1000"),
        ("MALLOC_TOP_PAD_", "0"),
        ("GLIBC_TUNABLES", "glibc.malloc.check=1:glibc.malloc.trim_threshold=128"),
    ],
)
def test_settings_of_the_user_stay(
    name: str, value: str, glibc: Libc, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(allocator._allocator(), Allocator)
    monkeypatch.setenv(name, value)
    relay()()
    assert not glibc.settings
    assert "the environment has settings for glibc's malloc" in explanation(CPU)


def test_without_glibc_nothing_is_done(glibc: Libc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_glibc", lambda: None)
    with keeping_memory(CPU, in_new_threads=True):
        relay()()
    allocator.trim()
    assert "the C library is not glibc" in explanation(CPU)


@pytest.mark.parametrize("library", ["an absent one", "without mallopt"])
def test_another_c_library_is_not_taken_for_glibc(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> object:
        if library == "an absent one":
            raise OSError("no such file")
        return object()

    monkeypatch.setattr("ctypes.CDLL", load)
    assert allocator._glibc.__wrapped__() is None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator._glibc.__wrapped__() is None


def test_a_library_that_replaces_malloc_is_noticed(
    glibc: Libc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allocator, "_serves", lambda libc: False)
    relay()()
    assert not glibc.settings
    assert "another library replaces glibc's malloc" in explanation(CPU)


# With the real library

needs_glibc = pytest.mark.skipif(allocator._glibc() is None, reason="the C library is not glibc")

MEASURE = """
import json, resource, torch
from autopipe.placement import allocator

def step():
    # Larger than what glibc keeps by default.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        blocks = [torch.ones(size * 2**18) for size in (40, 100)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

step()
found = allocator._allocator()
with allocator.keeping_memory(torch.device("cpu")):
    # The heap takes some steps to find its layout.
    for _ in range(8):
        step()
    faults, held = step(), allocator._private_memory()
print(json.dumps({
    "found": found if isinstance(found, str) else None,
    "faults": faults, "held": held, "after": allocator._private_memory(),
}))
"""
PAGES = 3 * 140 * 2**20 // 4096
"""The pages that a step of this program writes."""


def measured(**environ: str) -> dict[str, Any]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        capture_output=True, text=True, timeout=120, env={**clean, **environ}, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@needs_glibc
def test_a_step_reuses_the_memory_of_the_one_before() -> None:
    found = measured()
    assert found["found"] is None
    assert found["faults"] < PAGES / 20
    assert found["held"] - found["after"] > 100 * 2**20, "it is returned at the end"


@needs_glibc
def test_with_the_variable_glibc_does_as_before() -> None:
    found = measured(AUTOPIPE_ALLOCATOR="0")
    assert found["faults"] > PAGES / 2
    assert found["held"] - found["after"] < 50 * 2**20


@needs_glibc
def test_the_environment_of_the_user_is_heeded() -> None:
    assert "environment" in measured(MALLOC_TRIM_THRESHOLD_="131072")["found"]


@needs_glibc
def test_glibc_that_does_not_serve_the_process_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Counts:
        def mallinfo(self) -> Any:
            return type("Info", (), {"hblkhd": 5})()

    assert allocator._serves(allocator._glibc())
    assert not allocator._serves(Counts())
