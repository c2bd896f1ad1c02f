"""Which class opens which checkpoint: every combination, and with families missing."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import autopipe
from autopipe.errors import UnsupportedCheckpointError
from autopipe.manifest import Pipeline
from autopipe.registry import Registry, default_registry
from autopipe.resolution.discovery import Installed
from autopipe.tasks import Task

from .conftest import SDXL, installed, needs

INFIX = {Task.TEXT2IMAGE: "", Task.IMAGE2IMAGE: "Img2Img", Task.INPAINT: "Inpaint"}
AUTO = {
    Task.TEXT2IMAGE: "AutoPipelineForText2Image",
    Task.IMAGE2IMAGE: "AutoPipelineForImage2Image",
    Task.INPAINT: "AutoPipelineForInpainting",
}
LINES = {"stable_diffusion": "StableDiffusion", "sdxl": "StableDiffusionXL"}


def name(line: str, task: Task, controlnet: bool) -> str:
    return f"{LINES[line]}{'ControlNet' if controlnet else ''}{INFIX[task]}Pipeline"


COMBINATIONS = [
    pytest.param(
        line,
        name(line, stored, with_controlnet),
        task,
        given,
        name(line, task, with_controlnet if given is None else given),
        id=f"{name(line, stored, with_controlnet)}-{task}-{given}",
        marks=needs(line),
    )
    for line, stored, with_controlnet, task, given in itertools.product(
        LINES, INFIX, (False, True), INFIX, (None, True, False)
    )
]


def test_all_combinations_are_walked() -> None:
    assert len(COMBINATIONS) == 12 * 3 * 3


@pytest.mark.parametrize(("line", "stored", "task", "given", "expected"), COMBINATIONS)
def test_every_combination_has_its_class(
    line: str, stored: str, task: Task, given: bool | None, expected: str
) -> None:
    conditions = {} if given is None else {"controlnet": given}
    found = autopipe.registry.resolve(stored, task, conditions)
    assert found.pipeline.name == expected
    assert found.load_class().__name__ == expected


@pytest.mark.parametrize(("line", "stored", "task", "given", "expected"), COMBINATIONS)
def test_every_combination_opens_and_switches(
    whole: Any,
    controlnets: Any,
    tmp_path: Path,
    line: str,
    stored: str,
    task: Task,
    given: bool | None,
    expected: str,
) -> None:
    """The same through the Auto classes; weights are left out."""
    controlnet = controlnets(seed=5, **(SDXL if line == "sdxl" else {}))
    keywords = {} if given is None else {"controlnet": controlnet if given else None}
    auto = getattr(autopipe, AUTO[task])
    source = whole(getattr(autopipe, stored))
    view = auto.from_pipe(source, **keywords)
    assert type(view).__name__ == expected
    assert view.unet is source.unet
    if "ControlNet" in expected:
        assert view.controlnet is (controlnet if given else source.controlnet)
    else:
        assert "controlnet" not in view.components

    # A folder of the same class, of which nothing is loaded: all components are given.
    components = {n: c for n, c in source.components.items() if n != "controlnet"}
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": stored}))
    if given is None and "ControlNet" in expected:
        keywords = {"controlnet": controlnet}
    opened = auto.from_pretrained(tmp_path, **components, **keywords)
    assert type(opened).__name__ == expected


def _without(*absent: str) -> Registry:
    registry = default_registry()
    return Registry(
        Installed(registry.plugins[n], registry.families[n])
        for n in registry.families
        if n not in absent
    )


@pytest.mark.parametrize("line", [pytest.param(line, marks=needs(line)) for line in LINES])
@pytest.mark.parametrize("task", INFIX)
def test_without_this_package_the_keyword_gives_the_pip_line(line: str, task: Task) -> None:
    registry = _without("controlnet")
    stored = name(line, task, controlnet=False)
    with pytest.raises(UnsupportedCheckpointError, match="pip install autopipe-controlnet"):
        registry.resolve(stored, task, {"controlnet": True})
    assert registry.resolve(stored, task, {"controlnet": False}).pipeline.name == stored
    stored = name(line, task, controlnet=True)
    with pytest.raises(UnsupportedCheckpointError, match="pip install autopipe-controlnet"):
        registry.resolve(stored, task)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("task", INFIX)
def test_with_one_family_the_other_gives_the_pip_line(line: str, task: Task) -> None:
    absent = next(one for one in LINES if one != line)
    registry = _without(absent)
    if installed(line):
        found = registry.resolve(name(line, task, False), task, {"controlnet": True})
        assert found.load_class().__name__ == name(line, task, True)
    dist = f"autopipe-{absent.replace('_', '-')}"
    for stored, given in ((False, True), (False, False), (True, False)):
        with pytest.raises(UnsupportedCheckpointError, match=f"pip install {dist}"):
            registry.resolve(name(absent, task, stored), task, {"controlnet": given})


_ALONE = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "autopipe_{absent}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import autopipe.resolution.hints
autopipe.resolution.hints._clone = lambda: None
from autopipe.errors import MissingPluginError
from autopipe.registry import default_registry
families = default_registry().families["controlnet"].pipelines
for pipeline in families:
    try:
        cls = default_registry().load(pipeline.name)
        print(pipeline.line, cls.__name__)
    except MissingPluginError as error:
        print(pipeline.line, error)
"""


@pytest.mark.parametrize("absent", LINES)
def test_the_classes_of_one_family_need_no_other(absent: str) -> None:
    """In a process of its own, where the other family can't be imported."""
    script = _ALONE.format(absent=absent)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) == 6
    dist = f"autopipe-{absent.replace('_', '-')}"
    for found in lines:
        line, _, rest = found.partition(" ")
        if line == absent:
            assert f"pip install {dist}" in rest
        elif installed(line):
            assert rest in {name(line, task, True) for task in INFIX}


def test_the_manifest_imports_nothing_heavy() -> None:
    script = (
        "import sys, autopipe_controlnet.family as f; f.autopipe_family(); "
        "print([m for m in ('torch', 'numpy', 'PIL', 'transformers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("line", LINES)
def test_the_rows_are_complete(line: str) -> None:
    rows: list[Pipeline] = [
        p for p in default_registry().families["controlnet"].pipelines if p.line == line
    ]
    assert {p.task for p in rows} == set(INFIX)
    assert {p.conditions for p in rows} == {frozenset({"controlnet"})}
