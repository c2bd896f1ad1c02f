"""Measure autopipe against the reference and write a table and JSON.

Each measurement is a process of its own; the two libraries take turns, so that a change of the
machine's load meets both. A ratio is autopipe / reference of one turn: below 1 is better. The
table gives the median ratio and its range over the turns.

With `--before CHECKOUT` the other side is another version of this project instead of the reference:
a checkout of it, whose own `benchmarks/measure.py` is run with its own sources.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import checkpoints
import torch

HERE = Path(__file__).parent
REFERENCE, BEFORE = "diffusers", "before"
# task, size of the checkpoint, turns
PLAN = (
    ("import", "small", 5),
    ("resolve", "small", 5),
    ("load", "small", 5),
    ("load", "real", 5),
    ("from_pipe", "small", 5),
    ("step", "small", 5),
    ("step", "real", 3),
    ("call", "small", 5),
    ("call", "real", 3),
)
# With a GPU: resident, offloaded by component (model) and by layer (each).
GPU_PLAN = (("gpu", "real", 3), ("gpu_model", "real", 3), ("gpu_each", "real", 3))


def measure(
    library: str, task: str, folder: Path, checkout: Path | None = None
) -> dict[str, float]:
    """One measurement in a fresh process; with a `checkout`, of autopipe as it is there."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    script = HERE / "measure.py"
    if checkout is not None:
        script = checkout / "benchmarks/measure.py"
        library = "autopipe"
        sources = [checkout / "core/src", *sorted(checkout.glob("plugins/*/src"))]
        env["PYTHONPATH"] = os.pathsep.join(map(str, sources))
        # Metadata of what is installed is there for both: it must not be asked for what it lacks.
        env["AUTOPIPE_PLUGINS"] = ",".join(f.parent.name for f in checkout.glob("plugins/*/src"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), library, task, str(folder)],
        capture_output=True,
        text=True,
        env=env,
    )
    if done.returncode != 0:
        sys.exit(f"{library} {task} failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(
    task: str, size: str, turns: int, folder: Path, before: Path | None
) -> list[dict[str, object]]:
    """A row for each quantity of `task`."""
    other = REFERENCE if before is None else BEFORE
    found: dict[str, list[dict[str, float]]] = {"autopipe": [], other: []}
    for turn in range(turns):
        order = list(found) if turn % 2 == 0 else list(found)[::-1]
        for name in order:
            checkout = before if name == BEFORE else None
            found[name].append(measure(name, task, folder, checkout))
    rows: list[dict[str, object]] = []
    for quantity in found["autopipe"][0]:
        ours = [m[quantity] for m in found["autopipe"]]
        theirs = [m[quantity] for m in found[other]]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True) if b > 0]
        rows.append(
            {
                "task": task,
                "size": size,
                "quantity": quantity,
                "autopipe": statistics.median(ours),
                "other": statistics.median(theirs),
                "ratio": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
                "turns": turns,
            }
        )
    return rows


def processor() -> str:
    """What computes: the model's name, and what tells processors of one name apart."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    fields = dict(part.split(":", 1) for part in told.splitlines() if ":" in part)
    found = {name.strip(): value.strip() for name, value in fields.items()}
    flags = set(found.get("flags", "").split())
    special = [one for one in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if one in flags]
    return f"{found.get('model name', platform.processor())} ({', '.join(special) or 'plain'})"


def line(row: dict[str, object]) -> str:
    """A row as a line of the table."""
    return (
        f"{row['task']!s:<10} {row['size']!s:<6} {row['quantity']!s:<9} "
        f"{row['autopipe']:>10.4g} {row['other']:>10.4g} "
        f"{row['ratio']:>7.2f} ({row['lowest']:.2f} to {row['highest']:.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", help="comma-separated tasks (default: all)")
    parser.add_argument("--before", type=Path, help="a checkout to compare with instead")
    parser.add_argument("--turns", type=int, help="how often (default: 3 to 5)")
    parser.add_argument("--size", choices=("small", "real"), help="one size (default: both)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs/benchmark"),
        help="where checkpoints and results go; the real size takes 4.3 GB (default: %(default)s)",
    )
    options = parser.parse_args()
    plan = [*PLAN, *(GPU_PLAN if torch.cuda.is_available() else ())]
    wanted = options.only.split(",") if options.only else [task for task, _, _ in plan]
    other = REFERENCE if options.before is None else BEFORE
    print(processor())
    print(f"{'task':<10} {'size':<6} {'quantity':<9} {'autopipe':>10} {other:>10} ratio (range)")
    rows = []
    options.folder.mkdir(parents=True, exist_ok=True)
    for task, size, turns in plan:
        if task in wanted and options.size in (None, size):
            checkpoint = checkpoints.make(options.folder, size)
            for row in compare(task, size, options.turns or turns, checkpoint, options.before):
                rows.append(row)
                print(line(row), flush=True)
    result = options.folder / "results.json"
    packages = ("autopipe-core", "diffusers", "torch", "transformers")
    result.write_text(
        json.dumps(
            {
                "machine": {
                    "processor": processor(),
                    "cores": os.cpu_count(),
                    "python": platform.python_version(),
                },
                "versions": {name: version(name) for name in packages},
                "rows": rows,
            },
            indent=2,
        )
    )
    print(f"written to {result}")


if __name__ == "__main__":
    main()
