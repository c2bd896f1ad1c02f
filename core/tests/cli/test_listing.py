"""`families` and `doctor` over installations made by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace

import pytest

from autopipe.cli import doctor, families, main, requirements
from autopipe.errors import PluginError
from autopipe.manifest import Component, Family, Pipeline
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin, Problem
from autopipe.tasks import Task

TASKS = (Task.TEXT2IMAGE, Task.IMAGE2IMAGE, Task.INPAINT)
LONG = "a_family_with_a_name_that_is_really_much_too_long_for_a_table"
FAMILIES = (
    Family("parts", components=(Component("Net", "parts:Net"),)),
    Family(
        LONG,
        pipelines=tuple(Pipeline(f"Very{t.name}", f"{LONG}:Very", t, LONG) for t in TASKS),
        demo="x:demo",
    ),
)
INSTALLED = tuple(Installed(Plugin(f.name, f"autopipe-{f.name}", "2.1"), f) for f in FAMILIES)
PROBLEMS = {
    kind: Problem(Plugin(f"the_{kind}", f"dist-{kind}", "0.3"), kind, f"a reason to be {kind}")
    for kind in ("broken", "incompatible", "duplicate", "disabled", "missing")
}


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")

    def install(installed: tuple[Installed, ...], *problems: Problem) -> None:
        def discover(environ: object = None) -> tuple:
            return installed, problems

        monkeypatch.setattr(families, "default_registry", lambda: Registry(installed, problems))
        monkeypatch.setattr(doctor, "discover", discover)

    return install


def test_families_lists_tasks_package_and_version(install, capsys) -> None:
    install(INSTALLED)
    assert main(["families"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for word in ("parts", "autopipe-parts", "2.1", "text2image", "image2image", "inpaint"):
        assert word in text


def test_families_as_json_has_every_pipeline(install, capsys) -> None:
    install(INSTALLED)
    assert main(["families", "--json"]) == 0
    parts, long = json.loads(capsys.readouterr().out)
    assert parts["tasks"] == []
    assert parts["demo"] is None
    assert long["tasks"] == [t.value for t in TASKS]
    assert long["demo"] == f"demo:{LONG}"
    assert {p["name"] for p in long["pipelines"]} == {f"Very{t.name}" for t in TASKS}


def test_without_a_family_the_list_says_how_to_get_one(install, capsys) -> None:
    install(INSTALLED[:1])
    assert main(["families"]) == 0
    assert "pip install autopipe-stable-diffusion" in capsys.readouterr().out


def test_the_list_points_to_the_doctor(install, capsys) -> None:
    install(INSTALLED, PROBLEMS["broken"])
    assert main(["families"]) == 0
    assert "autopipe doctor" in capsys.readouterr().err


def test_the_doctor_is_content_with_a_sound_installation(install, capsys) -> None:
    install(INSTALLED)
    assert main(["doctor"]) == 0
    assert "No problems found" in capsys.readouterr().out


@pytest.mark.parametrize("kind", PROBLEMS)
def test_the_doctor_names_what_is_wrong_and_how_to_fix_it(install, capsys, kind: str) -> None:
    install(INSTALLED, PROBLEMS[kind])
    assert main(["doctor"]) == (0 if kind == "disabled" else 1)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for word in (f"the_{kind}", f"dist-{kind}", "0.3", f"a reason to be {kind}", "Fix:"):
        assert word in " ".join(text.split())
    assert main(["doctor", "--json"]) == (0 if kind == "disabled" else 1)
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] == (kind == "disabled")
    assert [f["kind"] for f in found["findings"]] == [kind]
    assert found["findings"][0]["hint"]


def claiming(dist: str, name: str) -> Installed:
    plugin = Plugin(dist, f"dist-{dist}", "1.0")
    pipeline = Pipeline("Net", f"{name}:Net", "magnify", dist)
    return Installed(plugin, Family(dist, pipelines=(pipeline,)))


def test_a_name_claimed_in_two_ways_leaves_both_in_use_and_has_a_hint(install, capsys) -> None:
    install((claiming("one", "one"), claiming("two", "two")))
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {p["name"]: p["state"] for p in found["plugins"]} == {
        "one": "partly in use", "two": "partly in use",
    }  # fmt: skip
    twice = [f for f in found["findings"] if f["kind"] == "duplicate"]
    assert len(twice) == 1
    assert "AUTOPIPE_PREFER=dist-" in twice[0]["hint"]
    assert "pip uninstall dist-" in twice[0]["hint"]


def test_a_task_that_nobody_declares_has_the_package_that_does(
    install, capsys, monkeypatch
) -> None:
    install((claiming("one", "one"),))
    (problem,) = Registry([claiming("one", "one")]).problems
    assert problem.kind == "missing"
    assert main(["doctor", "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert "dist-one" in finding["hint"]
    monkeypatch.setattr(doctor, "dist_of", lambda name, kind: f"autopipe-{name}")
    assert main(["doctor", "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["hint"] == "python -m pip install autopipe-magnify"


def test_pipelines_that_serve_no_task_are_counted(install, capsys) -> None:
    rest = tuple(Pipeline(f"Rest{i}", "rest:It") for i in range(2))
    only = Family("rest", pipelines=rest)
    one = Pipeline("Both", "both:It", "text2image", "both", also=("inpaint",))
    both = Family("both", pipelines=(one, *(Pipeline(f"More{p.name}", "b:It") for p in rest)))
    installed = tuple(Installed(Plugin(f.name, f.name, "1"), f) for f in (only, both))
    install(installed)
    assert main(["families"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("2 pipelines")
    assert lines[2].endswith("text2image, inpaint; 2 more pipelines")
    assert len(lines) == 3
    install(installed[:1])
    assert main(["doctor"]) == 0, "a family it is"


def test_the_doctor_misses_a_family(install, capsys) -> None:
    install(INSTALLED[:1])
    assert main(["doctor"]) == 1
    assert "python -m pip install autopipe-stable-diffusion" in capsys.readouterr().out


def test_the_doctor_works_where_strictness_stops_the_others(monkeypatch, capsys) -> None:
    seen = {}

    def discover(environ: dict) -> tuple:
        seen.update(environ)
        if environ["AUTOPIPE_STRICT"]:
            raise PluginError("strict")
        return INSTALLED, ()

    monkeypatch.setattr(doctor, "discover", discover)
    monkeypatch.setenv("AUTOPIPE_STRICT", "1")
    assert main(["doctor"]) == 0


def declare(monkeypatch, needs: dict[str, list[str]], there: dict[str, str]) -> None:
    def readable(dist: str) -> SimpleNamespace:
        return SimpleNamespace(requires=needs[dist])

    monkeypatch.setattr(requirements, "readable", readable)
    monkeypatch.setattr(requirements, "installed_version", MappingProxyType(there).get)


def test_the_doctor_compares_versions(install, monkeypatch, capsys) -> None:
    install(INSTALLED)
    needs = {
        "autopipe-core": [
            "torch>=2.6,<3",
            "gone",
            'old; python_version < "3"',
            "x; extra == 'dev'",
        ],
        "autopipe-parts": ["torch>=2.8", "not a ! requirement"],
    }
    declare(monkeypatch, needs, {"torch": "2.7.1+cpu"})
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [p["name"] for p in found["packages"]] == ["gone", "torch"]
    missing, wrong = found["findings"]
    assert missing["kind"] == "missing"
    assert wrong["kind"] == "incompatible"
    assert "2.7.1+cpu" in wrong["reason"]
    assert wrong["hint"] == "python -m pip install 'torch>=2.8,>=2.6,<3'"


def test_local_and_preliminary_versions_count(monkeypatch) -> None:
    declare(monkeypatch, {"a": ["torch>=2.6,<3", "b>=1"]}, {"torch": "2.13.0+cpu", "b": "2.0rc1"})
    assert [need.met for need in requirements.requirements(["a"])] == [True, True]


def test_the_doctor_shows_what_a_later_release_removes_and_is_content(install, capsys) -> None:
    ending = "it was written for API 1, which autopipe 0.9.0 no longer accepts"
    install((INSTALLED[0], replace(INSTALLED[1], deprecations=(ending,))))
    assert main(["doctor"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert ending in text
    assert f"pip install --upgrade autopipe-{LONG}" in text
    assert "No problems found" in text
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [f["kind"] for f in found["findings"]] == ["deprecated"]
    assert {p["state"] for p in found["plugins"]} == {"in use"}
