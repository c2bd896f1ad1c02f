"""Run the checks that a change must pass: sessions of nox, several at a time.

    python tools/checks.py            the checks of a change
    python tools/checks.py --all      also the nightly sessions
    python tools/checks.py lint types these sessions
    python tools/checks.py --list     the names of the sessions as JSON, for CI workflows

A session mostly uses one processor, and waits now and then for disks and for processes that it
started, so one more runs at a time than there are processors. The output of a session is printed
when it has ended, and a table of all durations at the end. The exit status is 0 if all passed.

No test runs twice: what the session of one package tests, with nothing installed that the package
doesn't declare, the session `tests` of the same run leaves out. In a CI workflow, each session has
a machine of its own: there `tests` is complete, and only plugins that a change may break are tested
alone, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from workspace import CORE, PLUGINS, ROOT, TESTED_ALONE, for_one_of_several, touched

LONG = ["tests", "parity", "strangers", "browser", "core", "types", "third_party", "extras"]
SHORT = ["docs", "layers", "light", "lint"]
NIGHTLY = ["newest", "oldest", "fuzz"]


@dataclass(frozen=True)
class Ended:
    """The result of a session."""

    session: str
    passed: bool
    seconds: float
    printed: str


def checks(plugins: Iterable[str], nightly: bool) -> list[str]:
    """Return the sessions to run, the longest first; `plugins` are those to test by themselves."""
    longest_first = sorted(plugins, key=bytes_of_tests, reverse=True)
    return [*(NIGHTLY if nightly else ()), *LONG, *map(of_plugin, longest_first), *SHORT]


def bytes_of_tests(dist: str) -> int:
    """Return how long the tests of a dist are, which tells roughly how long they take."""
    return sum(file.stat().st_size for file in (ROOT / dist / "tests").rglob("*.py"))


def alone(sessions: Iterable[str]) -> list[str]:
    """Return the dists all of whose tests run in one of `sessions`, which has them alone.

    Without a family, most tests of a plugin that works with one of several can't run; the session
    `extras` runs them with one after another.
    """
    named = {CORE: CORE, **{of_plugin(dist): dist for dist in PLUGINS}}
    run = list(sessions)
    with_families = "extras" in run
    return [
        named[one]
        for one in run
        if one in named and (with_families or not for_one_of_several(named[one]))
    ]


def of_plugin(dist: str) -> str:
    """Return the name of the session that tests a plugin by itself."""
    return f"plugin({dist.rpartition('/')[2]})"


def run(session: str, tested_alone: Iterable[str] = ()) -> Ended:
    """Run a session and return its result."""
    began = time.monotonic()
    command = [sys.executable, "-m", "nox", "--session", session]
    env = {**os.environ, TESTED_ALONE: " ".join(tested_alone)}
    done = subprocess.run(
        command, cwd=ROOT, text=True, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return Ended(session, done.returncode == 0, time.monotonic() - began, done.stdout)


def table(all_ended: list[Ended], seconds: float) -> str:
    """Return a table of the sessions with their durations and outcomes."""
    rows = [(one.session, one.seconds, "passed" if one.passed else "FAILED") for one in all_ended]
    lines = [f"{name:24} {took / 60:6.1f} min  {how}" for name, took, how in rows]
    return "\n".join([*lines, f"{'all':24} {seconds / 60:6.1f} min"])


def main() -> int:
    """Run the sessions that the command line selects, and print the results."""
    parser = argparse.ArgumentParser(description="Run the checks: sessions of nox.")
    parser.add_argument("sessions", nargs="*", help="these alone")
    parser.add_argument("--all", action="store_true", help="what runs each night, too")
    jobs = (os.cpu_count() or 1) + 1
    parser.add_argument("--jobs", type=int, default=jobs, help=f"at a time (default: {jobs})")
    parser.add_argument("--list", action="store_true", help="only say which would run, as JSON")
    options = parser.parse_args()
    chosen = options.sessions or checks(PLUGINS, options.all)
    if options.list:
        apart = PLUGINS if options.all else [dist for dist in touched() if dist in PLUGINS]
        print(json.dumps(checks(apart, options.all)))
        return 0
    began = time.monotonic()
    # All other sessions use the environment that it creates.
    first = run("base")
    print(first.printed, flush=True)
    all_ended = [first]
    if first.passed:
        print("These sessions run:", *chosen, flush=True)
        with ThreadPoolExecutor(options.jobs) as pool:
            left_out = alone(chosen)
            for running in as_completed([pool.submit(run, one, left_out) for one in chosen]):
                ended = running.result()
                all_ended.append(ended)
                print(f"\n==== {ended.session}\n{ended.printed}", flush=True)
    print(table(all_ended, time.monotonic() - began))
    return 0 if all(one.passed for one in all_ended) else 1


if __name__ == "__main__":
    sys.exit(main())
