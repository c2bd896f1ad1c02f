"""Pictures are the same on Ray, whatever happens to its workers."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from autopipe.cli import main

pytestmark = pytest.mark.usefixtures("here")


def pictures(folder: Path, runner: str) -> dict[str, bytes]:
    """Draw a batch into a folder; return the files by name."""
    jobs = folder.parent / "jobs.txt"
    jobs.write_text("".join(f"a red circle on colour {number}\n" for number in range(24)))
    line = ["batch", str(jobs), "-o", str(folder), "--model", "demo:stable_diffusion"]
    options = ["--steps", "2", "--size", "32", "--threads", "1", "--workers", "2", "--on", runner]
    assert main([*line, *options, "-q"]) == 0
    return {file.name: file.read_bytes() for file in folder.glob("*.png")}


def kill_a_worker(folder: Path) -> None:
    """Kill the first worker that the manifest in the folder names."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for file in folder.glob("*.jsonl"):
            for line in file.read_text().splitlines(keepends=True):
                if line.endswith("\n") and (worker := json.loads(line).get("worker")):
                    os.kill(int(worker.split()[1]), signal.SIGKILL)
                    return
        time.sleep(0.05)


def test_they_equal_those_of_local_workers_when_a_worker_is_killed(tmp_path: Path) -> None:
    (tmp_path / "ray").mkdir()
    killer = threading.Thread(target=kill_a_worker, args=(tmp_path / "ray",))
    killer.start()
    found = pictures(tmp_path / "ray", "ray")
    killer.join()
    assert len(found) == 24
    assert found == pictures(tmp_path / "local", "local")
