"""Progress: what is said, how fast it is, and when nothing is said."""

from __future__ import annotations

import io

import pytest

from autopipe_batch import progress
from autopipe_batch.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_pictures_per_minute_and_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(100, before=40) as bar:
        for _ in range(10):
            clock[0] += 6
            bar.add(done=True)
        clock[0] += 6
        bar.add(done=False)
    assert bar.text() == "1 failed, 10.0 pictures per minute, 4 min 54 s left"
    out, error = capsys.readouterr()
    assert out == ""
    lines = error.splitlines()
    assert lines[0] == "43 of 100, 10.0 pictures per minute, 5 min 42 s left"
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3661, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_time_left_has_two_units(clock: list[float], seconds: int, told: str) -> None:
    with Progress(2) as bar:
        clock[0] += seconds
        bar.add(done=True)
    if seconds:
        assert bar.text().endswith(f", {told} left")


def test_before_anything_is_done() -> None:
    assert Progress(3).text() == "nothing done yet"


def test_quiet_shows_nothing_but_what_is_told(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(2, quiet=True) as bar:
        clock[0] += 100
        bar.add(done=True)
        bar.tell("a job failed")
    assert capsys.readouterr().err == "a job failed\n"


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    with Progress(4, before=1) as bar:
        bar.add(done=True)
        bar.tell("a job failed")
        bar.add(done=False)
    shown = terminal.getvalue()
    assert "a job failed\n" in shown
    assert "3/4" in shown
    assert "1 failed, " in shown
    assert "pictures per minute" in shown
