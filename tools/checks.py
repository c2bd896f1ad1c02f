"""Run what has to pass before a change goes in: sessions of nox, two at a time.

    python tools/checks.py            the checks of a change
    python tools/checks.py --all      with every plugin alone, and what else runs each night
    python tools/checks.py lint types these sessions
    python tools/checks.py --list     the sessions, as JSON, for workflows of a forge

Two at a time, since each uses one processor most of the time. What a session prints comes in one
piece when it has ended, and last of all how long each took. The exit status is 0 if all passed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from workspace import PLUGINS, ROOT, touched

LONG = ["tests", "parity", "strangers", "core", "types", "third_party", "extras"]
SHORT = ["docs", "layers", "light", "lint"]
NIGHTLY = ["newest", "oldest", "fuzz"]


@dataclass(frozen=True)
class Ended:
    """A session that has ended."""

    session: str
    passed: bool
    seconds: float
    printed: str


def checks(everything: bool) -> list[str]:
    """The sessions to run, those that take long first.

    A plugin is tested alone if a change touches it or something that it needs: together with all
    others `tests` has it anyway.
    """
    alone = PLUGINS if everything else [dist for dist in touched() if dist in PLUGINS]
    plugins = [f"plugin({dist.rpartition('/')[2]})" for dist in alone]
    return [*(NIGHTLY if everything else ()), *LONG, *plugins, *SHORT]


def run(session: str) -> Ended:
    """Run one session."""
    began = time.monotonic()
    command = [sys.executable, "-m", "nox", "--session", session]
    done = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return Ended(session, done.returncode == 0, time.monotonic() - began, done.stdout)


def table(all_ended: list[Ended], seconds: float) -> str:
    """How each session ended, and how long it took."""
    rows = [(one.session, one.seconds, "passed" if one.passed else "FAILED") for one in all_ended]
    lines = [f"{name:24} {took / 60:6.1f} min  {how}" for name, took, how in rows]
    return "\n".join([*lines, f"{'all':24} {seconds / 60:6.1f} min"])


def main() -> int:
    """Run the sessions that the command line asks for, and show how they ended."""
    parser = argparse.ArgumentParser(description="Run the checks, two sessions of nox at a time.")
    parser.add_argument("sessions", nargs="*", help="these alone")
    parser.add_argument("--all", action="store_true", help="what runs each night, too")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    parser.add_argument("--list", action="store_true", help="only say which would run, as JSON")
    options = parser.parse_args()
    chosen = options.sessions or checks(options.all)
    if options.list:
        print(json.dumps(chosen))
        return 0
    began = time.monotonic()
    # All others need what it makes.
    first = run("base")
    print(first.printed, flush=True)
    all_ended = [first]
    if first.passed:
        print("These sessions run:", *chosen, flush=True)
        with ThreadPoolExecutor(options.jobs) as pool:
            for running in as_completed([pool.submit(run, session) for session in chosen]):
                ended = running.result()
                all_ended.append(ended)
                print(f"\n==== {ended.session}\n{ended.printed}", flush=True)
    print(table(all_ended, time.monotonic() - began))
    return 0 if all(one.passed for one in all_ended) else 1


if __name__ == "__main__":
    sys.exit(main())
