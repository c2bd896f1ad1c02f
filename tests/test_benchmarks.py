"""The benchmark: what it makes of measurements, and that the documentation shows its results."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _found() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def page() -> Any:
    return importlib.import_module("page")


@pytest.fixture
def goals() -> Any:
    return importlib.import_module("goals")


@pytest.fixture
def run() -> Any:
    return importlib.import_module("run")


def results(*rows: dict[str, Any]) -> dict[str, Any]:
    """Results with these rows."""
    told = {"processor": "One", "cores": 2, "python": "3", "versions": {}, "date": "today"}
    group = {"name": "one", "title": "A group", "rows": list(rows)}
    return {**told, "quick": True, "groups": [group]}


def test_a_ratio_belongs_to_one_turn(run: Any, goals: Any) -> None:
    row = goals.Row("load", "loading", 0.5)
    ours = [{"seconds": s} for s in (1.0, 4.0, 2.0)]
    theirs = [{"seconds": s} for s in (2.0, 40.0, 2.0)]
    told = run.figures(row, {"autopipe": ours, "reference": theirs}, {})
    assert told["figure"] == 0.5
    assert told["range"] == [0.1, 1.0]
    assert told["met"]
    assert not run.figures(
        goals.Row("load", "loading", 0.4), {"autopipe": ours, "reference": theirs}, {}
    )["met"]


def test_a_row_without_its_plugin_says_so(run: Any, goals: Any, page: Any) -> None:
    row = goals.Row("call-one", "an engine", 0.5, "engine")
    told = run.figures(row, {"reference": []}, {"engine": "autopipe-one is not installed"})
    assert "not measured: autopipe-one is not installed" in page.line(told)
    assert "autopipe-one is not installed" in page.table(results(told))
    assert ElementTree.fromstring(page.bars(results(told))).tag.endswith("svg")


def test_a_page_gets_the_figures_of_its_marks(run: Any, goals: Any, page: Any) -> None:
    measured = {"autopipe": [{"seconds": 1.0}], "reference": [{"seconds": 4.0}]}
    told = results(run.figures(goals.Row("load", "loading", 0.5), measured, {}))
    text = "before <!-- speed: load -->old<!-- end --> after"
    assert page.filled(text, told) == (
        "before <!-- speed: load -->0.25 [0.25 to 0.25]<!-- end --> after"
    )
    absent = "<!-- speed: absent -->0.1<!-- end -->"
    assert page.filled(absent, told) == "<!-- speed: absent -->not measured<!-- end -->"


def test_the_marks_of_pages_name_rows(page: Any, goals: Any) -> None:
    keys = {row.key for group in goals.GROUPS for row in group.rows} | {"table", "machine"}
    for file in page.DOCS.rglob("*.md"):
        marked = {key for _, key, _, _ in page.MARKED.findall(file.read_text(encoding="utf-8"))}
        assert marked <= keys, file.name


def test_the_rows_name_variants_of_their_group(goals: Any) -> None:
    keys = [row.key for group in goals.GROUPS for row in group.rows]
    assert len(keys) == len(set(keys))
    for group in goals.GROUPS:
        named = {name for row in group.rows for name in (row.variant, row.against) if name}
        assert named <= set(group.variants)
        assert set(group.needs) | group.only_full <= set(group.variants)
        assert (set(group.programs) == set(group.variants)) == (group.task is None)


def test_the_pages_show_the_kept_results(page: Any) -> None:
    kept = json.loads(page.RESULTS.read_text(encoding="utf-8"))
    assert [file.name for file in page.outdated(kept)] == []


def test_a_worker_measures_when_it_is_asked() -> None:
    processes = importlib.import_module("processes")
    worker = processes.Worker(
        processes.Variant("autopipe"), "call", "demo:stable_diffusion", {"steps": 2, "side": 32}
    )
    try:
        one, other = worker.take(), worker.take()
    finally:
        worker.close()
    assert one["ready"] == other["ready"] > 0
    assert 0 < one["decode"] < one["seconds"] != other["seconds"]
    assert one["peak MiB"] > 10


def test_a_process_that_fails_says_why() -> None:
    processes = importlib.import_module("processes")
    missing = processes.Worker(processes.Variant("autopipe"), "call", "nowhere", {"steps": 2})
    with pytest.raises(processes.Failed, match="nowhere"):
        missing.take()
    missing.close()
    program = processes.Program(
        processes.Variant("autopipe"), [sys.executable, "-c", "raise SystemExit('out of paper')"]
    )
    with pytest.raises(processes.Failed, match="out of paper"):
        program.take()


@pytest.mark.parity
def test_the_script_for_accelerators_runs_on_the_cpu() -> None:
    pytest.importorskip("diffusers")
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "gpu.py", "--tiny"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for row in ("diffusers, eager", "autopipe, eager", "diffusers, compiled", "autopipe, compile"):
        assert done.stdout.count(f"| {row} | 0.") == 2, done.stdout


def test_the_load_test_compares_servers_turn_by_turn() -> None:
    serving = importlib.import_module("serving")
    speeds = {serving.SHARED: (3.0, 8.0), serving.PIPELINES: (1.0, 4.0)}
    found = [
        {
            "turn": turn,
            "server": name,
            "clients": 8,
            "requests": 9,
            "p50": 1.0,
            "p95": 2.0,
            "cpu": 1,
        }
        | {"throughput": speed}
        for name, both in speeds.items()
        for turn, speed in enumerate(both)
    ]
    told = serving.summary(found, 8, serving.SHARED)
    assert (told["ratio"], told["low"], told["high"]) == (2.5, 2.0, 3.0)
    assert told["throughput"] == 5.5


def test_the_load_test_loads_a_server() -> None:
    serving, servers = importlib.import_module("serving"), importlib.import_module("servers")
    with servers.Server(servers.serve("demo:stable_diffusion", 2, "--sharing")) as server:
        figures = serving.asked(server, 2, 2, 3, 32)
        assert figures["requests"] == 4
        assert 0 < figures["p50"] <= figures["p95"]
        assert server.fetch("GET", "/health")[0] == 200
        with pytest.raises(SystemExit, match="the server answered 4"):
            server.ask({"prompt": "a red circle", "size": "large"})
