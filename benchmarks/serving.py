"""Load servers with clients: throughput and waiting, disconnects, and memory.

    python benchmarks/serving.py [load] [disconnects] [memory] [--turns N] [--quick]

`load` compares `autopipe serve` with and without sharing, with a pipeline of the reference for each
request (which its documentation recommends) and with a lock around one, each behind a server of the
same shape. All servers are alive together and take turns at 1, 8 and 32 clients, which ask again as
soon as they have an answer. The checkpoint is a U-Net of 58 M parameters with random weights.
`disconnects` leaves the server 500 times in the midst of a request, and `memory` asks for 2,000
images; both use the demo. A report goes to `results.md` and `results.json` in the folder.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import re
import socket
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

import checkpoints
from run import PACKAGES, lacks, processor
from servers import PATH, Server, reference, serve

WORKERS = 8
"""How many requests are drawn at the same time, where that is more than one."""

SHARED, OURS, ONE = "autopipe, sharing", "autopipe, 8 at once", "autopipe, 1 at once"
PIPELINES, LOCK = "diffusers, a pipeline for each", "diffusers, a lock"
COMMANDS: Mapping[str, Callable[[str], list[str]]] = {
    SHARED: lambda model: serve(model, WORKERS, "--sharing"),
    OURS: lambda model: serve(model, WORKERS),
    ONE: lambda model: serve(model, 1),
    PIPELINES: lambda model: reference(model, WORKERS, "pipelines"),
    LOCK: lambda model: reference(model, 1, "lock"),
}
"""The command of each server, from the checkpoint."""

CLIENTS = {1: 3, 8: 2, 32: 1}
"""How many requests each of so many clients makes."""

Figures = dict[str, Any]


def given(seed: int, steps: int, side: int) -> dict[str, Any]:
    """Return the body of a request; prompt, seed and number of steps depend on `seed`."""
    return {
        "prompt": f"a red circle, {seed % 100}",
        "size": f"{side}x{side}",
        "seed": seed,
        "num_inference_steps": steps + seed % 3 - 1,
        "response_format": "b64_json",
    }


def asked(server: Server, clients: int, each: int, steps: int, side: int) -> Figures:
    """Let clients ask `each` times, and return what came of it."""
    seeds = count()
    taken: list[float] = []

    def client() -> None:
        for _ in range(each):
            taken.append(server.ask(given(next(seeds), steps, side)))

    begin, before = time.perf_counter(), server.cpu()
    with ThreadPoolExecutor(clients) as pool:
        for one in [pool.submit(client) for _ in range(clients)]:
            one.result()
    whole = time.perf_counter() - begin
    cuts = statistics.quantiles(taken, n=20, method="inclusive")
    return {
        "requests": len(taken),
        "throughput": len(taken) / whole,
        "p50": statistics.median(taken),
        "p95": cuts[-1],
        "cpu": (server.cpu() - before) / len(taken),
    }


def load(folder: Path, asked_for: argparse.Namespace) -> Figures:
    """Return throughput and waiting of each server, turn by turn."""
    model = checkpoints.make(folder, asked_for.checkpoint)
    steps, side = asked_for.steps, asked_for.side
    names = [name for name in COMMANDS if not lacks("diffusers") or name not in (PIPELINES, LOCK)]
    found: list[Figures] = []
    with ExitStack() as stack:
        servers = {name: stack.enter_context(Server(COMMANDS[name](model))) for name in names}
        for server in servers.values():
            asked(server, 2, 1, 2, side)  # They load their checkpoint.
        for turn in range(asked_for.turns):
            for clients, each in CLIENTS.items():
                for name in names if turn % 2 == 0 else names[::-1]:
                    one = asked(servers[name], clients, each, steps, side)
                    found.append({"turn": turn, "server": name, "clients": clients, **one})
                    print(f"  {_line(found[-1])}", flush=True)
    sizes = {"checkpoint": asked_for.checkpoint, "side": side, "steps": steps}
    return {**sizes, "turns": asked_for.turns, "servers": names, "found": found}


def disconnects(folder: Path, asked_for: argparse.Namespace) -> Figures:
    """Leave the server in the midst of requests, and return what is left of them."""
    times = 50 if asked_for.quick else 500
    chance = random.Random(0)
    pauses = [chance.uniform(0, 0.4) for _ in range(times)]
    with Server(serve(checkpoints.DEMO, WORKERS, "--sharing")) as server:
        asked(server, WORKERS, 2, 20, 64)
        before = {"threads": server.status("Threads"), **_counted(server)}

        def leave(place: int) -> None:
            body = json.dumps(given(place, 140, 64)).encode()
            head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
                time.sleep(pauses[place])

        begin = time.perf_counter()
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(leave, range(times)))
        spent = time.perf_counter() - begin
        while any(_counted(server)[name] for name in ("queued", "drawing")):
            if time.perf_counter() - begin > spent + 60:
                break
            time.sleep(0.01)
        quiet = time.perf_counter() - begin - spent
        after = {"threads": server.status("Threads"), **_counted(server)}
        asked(server, WORKERS, 1, 20, 64)
    told = {"times": times, "seconds": spent, "quiet_after": quiet}
    print(f"  {times} disconnects, all quiet after {quiet:.2f} s; before {before}, after {after}")
    return {**told, "before": before, "after": after}


def memory(folder: Path, asked_for: argparse.Namespace) -> Figures:
    """Return the memory of the server in the course of many requests."""
    times = 200 if asked_for.quick else 2000
    part, seeds = times // 20, count()
    taken: list[float] = []
    with Server(serve(checkpoints.DEMO, WORKERS, "--sharing")) as server:
        lock = threading.Lock()
        samples: list[int] = []

        def client() -> None:
            while (seed := next(seeds)) < times:
                server.ask(given(seed, 4, 64))
                with lock:
                    taken.append(0)
                    if len(taken) % part == 0:
                        samples.append(server.status("VmRSS") // 1024)

        with ThreadPoolExecutor(WORKERS) as pool:
            for one in [pool.submit(client) for _ in range(WORKERS)]:
                one.result()
    # The first tenth loads, and fills what is kept for the next call.
    early, late = statistics.median(samples[2:7]), statistics.median(samples[-5:])
    print(f"  {times} requests: {early:.0f} MiB early, {late:.0f} MiB late; {samples}")
    return {"times": times, "MiB": samples, "early": early, "late": late}


def _counted(server: Server) -> dict[str, int]:
    """Return the numbers of requests by state, from the metrics."""
    _, text = server.fetch("GET", "/metrics")
    states = re.findall(r'^autopipe_tickets\w*{state="(\w+)"} (\S+)$', text.decode(), re.MULTILINE)
    return {state: int(float(number)) for state, number in states}


def _line(one: Figures) -> str:
    return (
        f"{one['clients']:>2} clients, {one['server']:<31} {one['throughput']:6.3f} images/s, "
        f"p50 {one['p50']:6.2f} s, p95 {one['p95']:6.2f} s, CPU {one['cpu']:5.2f} s an image"
    )


def summary(found: Sequence[Figures], clients: int, server: str) -> dict[str, float]:
    """Return the medians over all turns, and the throughput against a pipeline for each request."""
    own = [one for one in found if (one["clients"], one["server"]) == (clients, server)]
    other = [one for one in found if (one["clients"], one["server"]) == (clients, PIPELINES)]
    names = ("throughput", "p50", "p95", "cpu")
    told = {name: statistics.median(one[name] for one in own) for name in names}
    ratios = [a["throughput"] / b["throughput"] for a, b in zip(own, other)]
    if ratios:
        told |= {"ratio": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
    return told


def report(results: Figures) -> str:
    """Return the report in Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    lines = [
        f"{results['processor']}, {results['cores']} cores, Python {results['python']}; "
        f"{versions}; {results['date']}."
    ]
    if "load" in results:
        loaded = results["load"]
        lines += [
            f"\n**Load**: {loaded['checkpoint']}, {loaded['side']} x {loaded['side']}, about "
            f"{loaded['steps']} steps with guidance, {loaded['turns']} turns\n",
            "| clients | server | images/s | p50 | p95 | CPU an image | of a pipeline each |",
            "|---|---|---|---|---|---|---|",
        ]
        for clients in CLIENTS:
            for name in loaded["servers"]:
                one = summary(loaded["found"], clients, name)
                ratio = ""
                if "ratio" in one:
                    ratio = f"{one['ratio']:.2f} [{one['low']:.2f} to {one['high']:.2f}]"
                lines.append(
                    f"| {clients} | {name} | {one['throughput']:.3f} | {one['p50']:.2f} s | "
                    f"{one['p95']:.2f} s | {one['cpu']:.2f} s | {ratio} |"
                )
    if "disconnects" in results:
        one = results["disconnects"]
        lines.append(
            f"\n**Disconnects**: {one['times']} clients left in {one['seconds']:.0f} s; "
            f"{one['quiet_after']:.2f} s later {one['after']['drawing']} requests were drawn and "
            f"{one['after']['queued']} waited; {one['after']['threads']} threads, "
            f"{one['before']['threads']} before."
        )
    if "memory" in results:
        one = results["memory"]
        lines.append(
            f"\n**Memory** over {one['times']} requests: {one['early']:.0f} MiB in the second to "
            f"seventh twentieth, {one['late']:.0f} MiB in the last five; all: {one['MiB']}."
        )
    return "\n".join(lines) + "\n"


MEASURES = {"load": load, "disconnects": disconnects, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("measures", nargs="*", help=f"of: {', '.join(MEASURES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="one turn, a tenth of the requests")
    add = parser.add_argument
    add("--turns", type=int, default=2, help="of each server (default: 2)")
    add("--side", type=int, default=128, help="of images, in pixels (default: 128)")
    add("--steps", type=int, default=8, help="on average (default: 8)")
    parser.add_argument(
        "--checkpoint", default="middle", help="of checkpoints.py (default: middle)"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/serving"), help="(default: runs/serving)"
    )
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.turns = 1
    chosen.folder.mkdir(parents=True, exist_ok=True)
    results: Figures = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES if not lacks(name)},
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "quick": chosen.quick,
    }
    print(f"{results['processor']}, load before {os.getloadavg()[0]:.1f}", flush=True)
    for name in chosen.measures or MEASURES:
        begin = time.perf_counter()
        print(name, flush=True)
        results[name] = MEASURES[name](chosen.folder, chosen)
        print(f"  ({time.perf_counter() - begin:.0f} s)", flush=True)
        # After each, so that a run that is ended keeps what it has.
        (chosen.folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        (chosen.folder / "results.md").write_text(report(results))
    print(f"written to {chosen.folder / 'results.md'} and results.json beside it")


if __name__ == "__main__":
    main()
