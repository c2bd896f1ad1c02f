"""Projects made of the example are whole: installed by hand, they pass their own tests."""

from __future__ import annotations

import ast
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.dists import env, write_dist

import autopipe
from autopipe.errors import ArgumentError
from autopipe.manifest import API, Family
from autopipe.tasks import Task
from autopipe_devkit.scaffold import CLASSES, EXAMPLE, create, family_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUBSETS = [set(chosen) for n in (1, 2, 3) for chosen in itertools.combinations(CLASSES, n)]


def install(project: Path, name: str) -> Path:
    """Make the project's sources look installed; the folder that Python must look into."""
    write_dist(project / "src", f"autopipe-{name}", {name: f"autopipe_{name}.family"})
    return project / "src"


def run(project: Path, site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=env(site),
        capture_output=True,
        text=True,
    )


def test_a_new_project_passes_its_tests_and_draws(tmp_path: Path) -> None:
    project = create("zoo", tmp_path / "project")
    site = install(project, "zoo")
    done = run(project, site, "-m", "pytest", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    told = re.search(r"(\d+) passed", done.stdout)
    assert told is not None
    # Of three pipelines, besides the checks of the family and the project's own tests.
    assert int(told[1]) > 40
    line = ("generate", "a red circle", "--model", "demo:zoo", "--steps", "4", "-o", "a.png")
    done = run(project, site, "-m", "autopipe", *line)
    assert (done.returncode, done.stdout) == (0, "a.png\n"), done.stderr
    assert (project / "a.png").is_file()


@pytest.mark.parametrize("tasks", SUBSETS, ids=lambda tasks: "+".join(sorted(tasks)))
def test_of_other_tasks_nothing_is_left(tasks: set[Task], tmp_path: Path) -> None:
    project = create("zoo", tmp_path / "project", tasks)
    package = project / "src/autopipe_zoo"
    for task in CLASSES:
        assert (package / f"{task.value}.py").is_file() == (task in tasks)
        assert (project / f"tests/test_{task.value}.py").is_file() == (task in tasks)
    everything = "".join(p.read_text() for p in project.rglob("*.py"))
    for task in CLASSES.keys() - tasks:
        assert task.name not in everything
    index = json.loads((package / "demo/model_index.json").read_text())
    first = next(task for task in CLASSES if task in tasks)
    assert f"class {index['_class_name']}(" in (package / f"{first.value}.py").read_text()
    if len(tasks) > 1:
        return
    site = install(project, "zoo")
    check = ("-m", "pytest", "-q", "-k")
    done = run(project, site, *check, "manifest or targets or tasks or complete")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["zoo", "my_zoo", "my-zoo2", "autopipe-zoo"])
def test_every_spelling_of_the_name_is_replaced(name: str, tmp_path: Path) -> None:
    project, family = create(name, tmp_path / "p"), family_name(name)
    for file in project.rglob("*"):
        assert "doodle" not in file.name
        if file.is_file() and file.suffix != ".safetensors":
            assert "doodle" not in file.read_text().lower(), file
        if file.suffix == ".py":
            ast.parse(file.read_text())
    declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert declared["name"] == "autopipe-" + family.replace("_", "-")
    assert declared["entry-points"]["autopipe.families"] == {family: f"autopipe_{family}.family"}
    assert (project / f"src/autopipe_{family}/family.py").is_file()


@pytest.mark.parametrize("name", ["", "2zoo", "zoo!", "a b", "class", "../zoo", "_zoo", "zoo_"])
def test_what_can_be_no_package_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="can't be the name"):
        create(name, tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["sdxl", "autopipe-stable-diffusion", "components"])
def test_a_name_of_ours_is_refused_though_it_is_not_installed(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="autopipe itself"):
        create(name, tmp_path / "p")


def test_a_task_that_the_example_does_not_serve_is_refused(tmp_path: Path) -> None:
    other = Task("text2video", auto_class="AutoPipelineForText2Video")
    with pytest.raises(ArgumentError, match="no pipeline for the task text2video; its tasks are"):
        create("zoo", tmp_path / "p", [other])
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(ArgumentError, match="already exists"):
        create("zoo", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_the_example_asks_for_this_core() -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    (core,) = (r for r in map(Requirement, project["dependencies"]) if r.name == "autopipe-core")
    assert core.specifier.contains(autopipe.__version__)
    assert Family("x").api == API


@pytest.mark.parametrize("name", ["abc", "ripple", "zoo"])
def test_imports_are_in_order_whatever_the_name(name: str, tmp_path: Path) -> None:
    project = create(name, tmp_path / "project")
    text = (project / f"src/autopipe_{name}/text2image.py").read_text(encoding="utf-8")
    steps = sorted(["Call", "Generators", "Prompt", "Result", f"{name.capitalize()}Steps"])
    assert f"\nfrom .steps import {', '.join(steps)}\n" in text
