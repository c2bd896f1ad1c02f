"""Measure autopipe against the reference, and print a table of all goals.

Processes of all variants of a group are alive together and take turns, so that a change of the
machine's load meets them all. A ratio belongs to one turn; the table gives the median and the
range over all turns. Below 1 is better.

With `--before CHECKOUT` the other side is another version of this project instead of the reference.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import checkpoints
import page
from goals import GROUPS, REFERENCE, Group, Row
from processes import Failed, Program, Source, Variant, Worker

Measured = dict[str, list[dict[str, float]]]
PACKAGES = ("autopipe-core", "diffusers", "torch", "transformers", "openvino", "onnxruntime")


def measure(group: Group, folder: Path, *, quick: bool) -> tuple[Measured, dict[str, str]]:
    """Return the measurements of each variant, turn by turn, and why variants have none."""
    checkpoint = checkpoints.make(folder, group.checkpoint)
    processes, turns = group.quick if quick else group.full
    options = {**group.options, **(group.quick_options if quick else {})}
    absent = {name: f"{dist} is not installed" for name, dist in group.needs.items() if lacks(dist)}
    absent |= dict.fromkeys(group.only_full if quick else (), "not in a quick run")
    found: Measured = {name: [] for name in group.variants if name not in absent}

    def source(name: str) -> Source:
        variant = group.variants[name]
        if group.task is None:
            command = [one.replace("{folder}", str(checkpoint)) for one in group.programs[name]]
            return Program(variant, command)
        return Worker(variant, group.task, checkpoint, options)

    for process in range(processes):
        open_ = {name: source(name) for name in found}
        for turn in range(1 if group.once else turns):
            order = list(open_) if (process + turn) % 2 == 0 else list(open_)[::-1]
            for name in order:
                try:
                    found[name].append(open_[name].take())
                except Failed as failure:
                    absent[name] = f"it failed: {failure}"
                    open_.pop(name).close()
                    del found[name]
        for one in open_.values():
            one.close()
    return found, absent


def lacks(distribution: str) -> bool:
    """Whether a distribution is not installed."""
    try:
        version(distribution)
    except PackageNotFoundError:
        return True
    return False


def figures(row: Row, found: Measured, absent: Mapping[str, str]) -> dict[str, Any]:
    """Return a row of the table as it is written to JSON."""
    told: dict[str, Any] = {"key": row.key, "title": row.title, "goal": row.goal}
    missing = [name for name in (row.variant, row.against) if name in absent]
    if missing:
        return {**told, "note": absent[str(missing[0])]}
    ours = [one[row.quantity] for one in found[row.variant]]
    values = ours
    if row.against is not None:
        theirs = [one[row.quantity] for one in found[row.against]]
        values = [a / b for a, b in zip(ours, theirs, strict=True)]
        told["other"] = statistics.median(theirs)
    if row.beside is not None:
        sides = (row.variant, row.against) if row.against is not None else (row.variant,)
        told["beside"] = {
            "quantity": row.beside,
            "values": [statistics.median(one[row.beside] for one in found[s]) for s in sides],
        }
    figure = statistics.median(values)
    return {
        **told,
        "unit": row.unit,
        "ratio": row.against is not None,
        "ours": statistics.median(ours),
        "figure": figure,
        "range": [min(values), max(values)],
        "turns": len(values),
        "met": figure <= row.goal,
    }


def processor() -> str:
    """What computes: the model's name, and what tells processors of one name apart."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    fields = dict(part.split(":", 1) for part in told.splitlines() if ":" in part)
    found = {name.strip(): value.strip() for name, value in fields.items()}
    flags = set(found.get("flags", "").split())
    special = [one for one in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if one in flags]
    return f"{found.get('model name', platform.processor())} ({', '.join(special) or 'plain'})"


def _before(group: Group, checkout: Path) -> Group:
    """The same group with another version of this project in place of the reference."""
    if REFERENCE not in group.variants:
        return group
    other = Variant("autopipe", checkout=checkout.resolve())
    programs = {n: group.programs["autopipe" if n == REFERENCE else n] for n in group.programs}
    return replace(group, variants={**group.variants, REFERENCE: other}, programs=programs)


def _with_kept(results: dict[str, Any]) -> dict[str, Any]:
    """Add groups that are published already, if they were measured in the same way."""
    groups = {group["name"]: group for group in results["groups"]}
    if page.RESULTS.is_file():
        kept = json.loads(page.RESULTS.read_text(encoding="utf-8"))
        same = ("processor", "cores", "python", "versions", "quick")
        if all(kept[name] == results[name] for name in same):
            groups = {group["name"]: group for group in kept["groups"]} | groups
    return {**results, "groups": [groups[g.name] for g in GROUPS if g.name in groups]}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    names = [group.name for group in GROUPS]
    parser.add_argument("--only", help=f"comma-separated, of: {', '.join(names)} (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="fewer turns, without the slowest variants"
    )
    parser.add_argument("--before", type=Path, help="a checkout to compare with instead")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs/benchmark"),
        help="where checkpoints and results go, which take 12 GB (default: %(default)s)",
    )
    parser.add_argument(
        "--publish", action="store_true", help="put the results on the pages of the documentation"
    )
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    wanted = asked.only.split(",") if asked.only else [group.name for group in GROUPS]
    asked.folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES if not lacks(name)},
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "quick": asked.quick,
        "groups": [],
    }
    print(results["processor"])
    for group in GROUPS:
        if group.name not in wanted:
            continue
        begun = time.perf_counter()
        made = group if asked.before is None else _before(group, asked.before)
        found, absent = measure(made, asked.folder, quick=asked.quick)
        rows = [figures(row, found, absent) for row in group.rows]
        results["groups"].append({"name": group.name, "title": group.title, "rows": rows})
        print(f"\n{group.title} ({time.perf_counter() - begun:.0f} s)")
        for row in rows:
            print(f"  {page.line(row)}", flush=True)
        # After each group, so that a run that is ended keeps what it has.
        (asked.folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (asked.folder / "results.md").write_text(page.table(results))
        if asked.publish:
            page.publish(_with_kept(results))
    print(f"\nwritten to {asked.folder / 'results.json'} and results.md beside it")


if __name__ == "__main__":
    sys.exit(main())
