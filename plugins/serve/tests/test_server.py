"""The server as a program: where it listens, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe_requests.placement import Placement
from autopipe_serve import server
from autopipe_serve.server import listening
from autopipe_serve.settings import Settings


def test_a_port_that_is_taken_is_told() -> None:
    with listening("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(ArgumentError, match=f"--port {port} can't be used"):
            listening("127.0.0.1", port)
    with pytest.raises(ArgumentError, match="can't be used"):
        listening("no such host", 0)


def test_the_threads_that_draw_keep_memory_between_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[Any] = []

    @contextmanager
    def keeping(device: torch.device, **how: bool) -> Iterator[None]:
        happened.append((str(device), how, threading.active_count() - before))
        yield
        happened.append("end")

    monkeypatch.setattr(server, "keeping_memory", keeping)
    monkeypatch.setattr(server.Server, "run", lambda _, **how: happened.append("run"))
    before = threading.active_count()
    settings = Settings(folder=tmp_path, placement=Placement(device="cpu"))
    assert server.serve(settings, "127.0.0.1", 0) == 0
    assert happened == [("cpu", {"in_new_threads": True}, 0), "run", "end"]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., tuple[Any, str]]]:
    """Return a function that starts `autopipe serve`; it returns the process and the address."""
    running = []

    def start(*line: str) -> tuple[Any, str]:
        code = "import sys; from autopipe.cli import main; sys.exit(main(sys.argv[1:]))"
        command = [sys.executable, "-c", code, "serve", "--port", "0", *line]
        env = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        running.append(process)
        said = process.stdout.readline()
        assert said.startswith("serving at "), process.stderr.read()
        url = said.removeprefix("serving at ").strip()
        while True:
            try:
                if httpx.get(f"{url}/ready").status_code == 200:
                    return process, url
            except httpx.TransportError:
                time.sleep(0.05)

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


LONG = {"prompt": "a red circle", "steps": 150, "images": 10, "seed": 1}


def begun(url: str, **given: Any) -> str:
    """Start a request, and return its address as soon as it is being drawn."""
    answered = httpx.post(f"{url}/requests", json=given, timeout=60)
    assert answered.status_code == 202, answered.text
    link = url + answered.json()["links"]["self"]
    while httpx.get(link).json()["state"] == "queued":
        time.sleep(0.02)
    return link


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_what_is_being_drawn(
    started: Callable, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "results"
    process, url = started("--folder", str(folder), "--log-format", "json")
    begun(url, prompt="a red circle", steps=20, images=2)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "finishing what is being drawn, at most 30 seconds" in said
    assert len([*folder.rglob("*.png")]) == 2
    assert "Traceback" not in said


def test_what_takes_longer_is_cancelled_and_a_stream_ends(started: Callable) -> None:
    process, url = started("--grace", "0.2")
    link = begun(url, **LONG)
    with httpx.stream("GET", f"{link}/events", timeout=60) as events:
        process.send_signal(signal.SIGINT)
        lines = [line for line in events.iter_lines() if line.startswith("data:")]
    assert '"state": "cancelled"' in lines[-1]
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said


def test_a_second_signal_stops_at_once(started: Callable) -> None:
    process, url = started("--grace", "1000")
    begun(url, **LONG)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_ipv6(started: Callable) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return  # This machine has no IPv6.
    _, url = started("--host", "::1")
    assert url.startswith("http://[::1]:")
    assert httpx.get(f"{url}/tasks", timeout=60).status_code == 200
