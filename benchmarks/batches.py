"""Measure `autopipe batch`: its schedule, kills, a full disk, and jobs that are drawn together.

    python benchmarks/batches.py [schedule] [kills] [disk] [together] [--quick]

`schedule` compares two workers and jobs of very unequal length with the ideal schedule, which takes
as long as half of all measured times or as the longest job. Beside it stand static splits: of two
programs with a part each, and of two halves of the file, by the measured times. `kills` kills
workers and parents of 1,000 jobs 200 times, and compares every picture with that of one worker that
nobody disturbs. `disk` needs root, for a file system of 150 kB. `together` draws jobs of equal
shape four at a time and one at a time, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from kills import Course, until_done
from PIL import Image

COMMAND = (sys.executable, "-m", "autopipe", "batch")


def write_jobs(file: Path, steps: Iterable[int], **settings: Any) -> Path:
    """Write a job for each number of steps, and return the file."""
    lines = [
        {"prompt": f"a red circle, {place}", "seed": place, "steps": number, **settings}
        for place, number in enumerate(steps)
    ]
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return file


def command(jobs: Path, folder: Path, *options: str) -> list[str]:
    """Return the command that draws jobs into a folder, with one thread for each worker."""
    return [*COMMAND, str(jobs), "-o", str(folder), "--threads", "1", "-q", *options]


def start(*arguments: Any, rank: tuple[int, int] | None = None) -> subprocess.Popen[str]:
    """Start the command, as one of several programs that draw parts if it has a `rank`."""
    place = {"RANK": str(rank[0]), "WORLD_SIZE": str(rank[1])} if rank else {}
    return subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, text=True, env={**os.environ, **place}
    )


def finish(*processes: subprocess.Popen[str]) -> None:
    """Wait for commands, and fail if one does."""
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit("a batch failed")


def entries(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of all manifests of a folder that tell of jobs."""
    files = sorted(folder.glob("manifest*.jsonl"))
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [one for one in map(json.loads, lines) if "id" in one]


def pictures(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all pictures of a folder by name."""
    return {file.name: file.read_bytes() for file in folder.glob("*.png")}


def span(done: Sequence[dict[str, Any]]) -> float:
    """Return the seconds from the beginning of the first job to the end of the last one."""
    ends = [datetime.fromisoformat(one["time"]).timestamp() for one in done]
    return max(ends) - min(end - one["seconds"] for end, one in zip(ends, done, strict=True))


def ideal(done: Sequence[dict[str, Any]], workers: int) -> float:
    """Return the seconds that no schedule can beat."""
    seconds: list[float] = [one["seconds"] for one in done]
    return max(sum(seconds) / workers, max(seconds))


def halves(folder: Path) -> float:
    """Return how near a worker for each half of the file would come to the ideal schedule."""
    done = entries(folder)
    seconds = {}
    for one in done:
        with Image.open(folder / one["file"]) as picture:
            # The seed of a job is its place.
            seconds[json.loads(picture.text["autopipe"])["request"]["seed"]] = one["seconds"]
    half = len(done) // 2
    first = sum(seconds[place] for place in range(half))
    return ideal(done, 2) / max(first, sum(seconds.values()) - first)


def schedule(folder: Path, *, quick: bool) -> None:
    """Print how near two workers come to the ideal schedule."""
    chance = random.Random(0)
    count = 20 if quick else 60
    steps = [min(500, int(5 * chance.paretovariate(0.8))) for _ in range(count)]
    jobs = write_jobs(folder / "unequal.jsonl", steps)
    print(f"{count} jobs of {min(steps)} to {max(steps)} steps, {sum(steps)} in all; two workers")
    for turn in range(1 if quick else 3):
        begin = time.perf_counter()
        finish(start(jobs, folder / f"queue-{turn}", "--workers", "2"))
        whole = time.perf_counter() - begin
        parts = folder / f"parts-{turn}"
        finish(*(start(jobs, parts, "--workers", "1", rank=(part, 2)) for part in (0, 1)))
        for title, done in (("queue", folder / f"queue-{turn}"), ("static split", parts)):
            found = entries(done)
            best, taken = ideal(found, 2), span(found)
            beside = f", {whole:.1f} s with start and end" if title == "queue" else ""
            print(
                f"  {title:<12} {best / taken:.3f} of the ideal: {taken:.1f} s{beside}", flush=True
            )
        print(f"  {'two halves':<12} {halves(folder / f'queue-{turn}'):.3f} of the ideal")


def draw_and_kill(folder: Path, *, jobs: int, kills: int, seed: int = 0) -> Course:
    """Draw jobs while their processes are killed, and compare the pictures with undisturbed ones.

    Returns:
        What happened.

    Raises:
        AssertionError: if a job is lost or done twice, or a picture differs.
        kills.Stuck: if the command doesn't get on.
    """
    chance = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    file = write_jobs(folder / "jobs.jsonl", [chance.randint(4, 16) for _ in range(jobs)])
    alone, killed = folder / "alone", folder / "killed"
    finish(start(file, alone, "--workers", "1"))
    course = until_done(
        command(file, killed, "--workers", "2"),
        retry=["--retry"],
        progress=lambda: len(list(killed.glob("*.png"))),
        total=jobs,
        kills=kills,
        seed=seed,
    )
    expected, found = pictures(alone), pictures(killed)
    assert len(expected) == jobs
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []
    done = Counter(one["id"] for one in entries(killed) if one["state"] == "done")
    assert set(done.values()) == {1}
    assert {f"{id}.png" for id in done} == expected.keys()
    kept = {one.name for one in killed.iterdir()} - found.keys()
    assert kept == {"manifest.jsonl", ".manifest.lock"}
    return course


def kill(folder: Path, *, quick: bool) -> None:
    """Print what happened to a batch whose processes were killed."""
    begin = time.perf_counter()
    jobs, kills = (100, 20) if quick else (1000, 200)
    course = draw_and_kill(folder, jobs=jobs, kills=kills)
    hit = ", ".join(f"{number} {kind}s" for kind, number in sorted(course.kills.items()))
    print(
        f"{jobs} jobs, killed: {hit}; {course.runs} runs, {course.retries} of them with --retry; "
        f"none lost, none twice, all pictures equal ({time.perf_counter() - begin:.0f} s)"
    )


def disk(folder: Path, *, quick: bool) -> None:
    """Print what a full disk does, and that the batch is resumed afterwards."""
    file = write_jobs(folder / "many.jsonl", [2] * 60)
    small = folder / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    if subprocess.run([*mount, "size=150k", "tmpfs", small]).returncode:
        print("a full disk: not measured, because this user may not mount anything")
        return
    try:
        asked = command(file, small / "pictures", "--workers", "2")
        full = subprocess.run(asked, capture_output=True, text=True)
        drawn = len(pictures(small / "pictures"))
        print(f"a full disk after {drawn} of 60: exit code {full.returncode}, {full.stderr[-300:]}")
        subprocess.run([*mount, "remount,size=10M", small], check=True)
        finish(subprocess.Popen(asked, text=True, stdout=subprocess.DEVNULL))
        done = Counter(one["id"] for one in entries(small / "pictures") if one["state"] == "done")
        print(
            f"after more space: {len(pictures(small / 'pictures'))} pictures, "
            f"{max(done.values())} line for each"
        )
    finally:
        subprocess.run(["umount", small], check=True)


def together(folder: Path, *, quick: bool) -> None:
    """Print what drawing four jobs together saves."""
    import checkpoints

    cases: list[tuple[str, dict[str, Any], int, int]] = [("demo, 64 x 64", {}, 40, 10)]
    if not quick:
        real = {"model": str(checkpoints.make(folder, "real")), "size": "256x256"}
        cases.append(("SD 1.5, random, 256 x 256", real, 8, 2))
    for title, settings, count, steps in cases:
        jobs = write_jobs(folder / "equal.jsonl", [steps] * count, **settings)
        ratios = []
        for turn in range(1 if quick else 3):
            seconds = {}
            for size in (1, 4) if turn % 2 == 0 else (4, 1):
                done = folder / f"{title.split(',')[0]}-{size}-{turn}"
                finish(start(jobs, done, "--workers", "1", "--batch-size", str(size)))
                # The first ones open the pipeline.
                later = entries(done)[4:]
                seconds[size] = statistics.mean(one["seconds"] for one in later)
            ratios.append(seconds[4] / seconds[1])
            print(f"  {title}: {seconds[1]:.3f} s a job, four together {seconds[4]:.3f} s")
        print(f"{title}: four together take {statistics.median(ratios):.2f} of the time")


MEASURES = {"schedule": schedule, "kills": kill, "disk": disk, "together": together}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("measures", nargs="*", help=f"of: {', '.join(MEASURES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer jobs, kills and turns")
    parser.add_argument("--folder", type=Path, help="where to draw (default: a temporary folder)")
    asked = parser.parse_args()
    from run import processor

    load = f", load before {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{processor()}, {os.cpu_count()} cores{load}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in asked.measures or MEASURES:
            MEASURES[name](folder, quick=asked.quick)


if __name__ == "__main__":
    main()
