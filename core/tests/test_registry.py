"""Resolution over a table made by hand; what the installed families add is tested with them."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

import autopipe
from autopipe.auto import _conditions
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    MissingPluginError,
    PluginError,
    UnsupportedCheckpointError,
)
from autopipe.manifest import Component, Condition, Export, Family, Pipeline, Reader
from autopipe.registry import Registry, default_registry, register, resolve
from autopipe.resolution.discovery import Installed, Plugin, Problem
from autopipe.resolution.targets import load_target
from autopipe.tasks import Task

TASKS = [Task.TEXT2IMAGE, Task.IMAGE2IMAGE, Task.INPAINT]
C = frozenset({"control"})


def cells(line: str, conditions: frozenset[str] = frozenset()) -> tuple[Pipeline, ...]:
    mark = "Control" if conditions else ""
    return tuple(
        Pipeline(f"{line}{mark}{t.name}", f"fake_{line}:{mark}{t.name}", t, line, conditions)
        for t in TASKS
    )


BASE = Family(
    "base",
    pipelines=(
        *cells("a"),
        *cells("b"),
        Pipeline("Lonely", "fake_a:Lonely"),
        Pipeline("Decoder", "fake_a:Decoder", Task.TEXT2IMAGE, "a.decoder", opens_as="a"),
    ),
    components=(Component("Net", "fake_a:Net", library="lib"),),
    exports=(Export("Helper", "fake_a:Helper"),),
)
CONTROL = Family("control", pipelines=cells("a", C), conditions=(Condition("control", "ctrl"),))


def registry(*families: Family, problems: tuple[Problem, ...] = ()) -> Registry:
    return Registry([Installed(Plugin(f.name, f"d-{f.name}", "1"), f) for f in families], problems)


@pytest.mark.parametrize(
    ("stored", "task", "given"),
    itertools.product([p.name for p in (*cells("a"), *cells("a", C))], TASKS, [None, True, False]),
)
def test_every_combination_finds_its_cell(stored: str, task: Task, given: bool | None) -> None:
    conditions = {} if given is None else {"ctrl": given}
    conditioned = ("Control" in stored) if given is None else given
    found = registry(BASE, CONTROL).resolve(stored, task, conditions)
    assert found.pipeline.name == f"a{'Control' if conditioned else ''}{task.name}"
    assert found.family == ("control" if conditioned else "base")
    assert stored in found.reason


def test_a_flag_is_true_or_false_and_not_a_component() -> None:
    flag = replace(CONTROL, conditions=(Condition("control", "ctrl", flag=True),))
    table = registry(BASE, flag)
    for value, expected in ((True, True), (False, False), (None, False)):
        found, rest = _conditions(table, {"ctrl": value, "other": 1})
        assert found == {"ctrl": expected}
        assert rest == {"other": 1}
    with pytest.raises(ArgumentTypeError, match="ctrl='yes' is not True or False"):
        _conditions(table, {"ctrl": "yes"})
    # A component is passed on.
    assert _conditions(registry(BASE, CONTROL), {"ctrl": "net"}) == (
        {"ctrl": True},
        {"ctrl": "net"},
    )


def test_without_a_task_the_class_is_taken_as_it_is() -> None:
    table = registry(BASE, CONTROL)
    for name in ("aINPAINT", "aControlINPAINT", "Lonely", "Decoder"):
        assert table.resolve(name).pipeline.name == name
    assert table.resolve("aINPAINT", None, {"ctrl": True}).pipeline.name == "aControlINPAINT"


def test_a_stage_opens_as_the_line_of_its_chain() -> None:
    assert registry(BASE).resolve("Decoder", "inpaint").pipeline.name == "aINPAINT"


def refusal(table: Registry, *arguments: object) -> str:
    with pytest.raises(UnsupportedCheckpointError) as caught:
        table.resolve(*arguments)  # type: ignore[arg-type]
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


def test_refusals_name_class_family_and_what_to_do() -> None:
    table = registry(BASE, CONTROL)
    start = "AutoPipeline can't find a pipeline linked to"
    assert refusal(table, "KandinskyPipeline").startswith(f"{start} KandinskyPipeline for None")
    assert "pip install autopipe-kandinsky21" in refusal(table, "KandinskyPipeline")
    assert refusal(table, "Lonely", "inpaint").startswith(f"{start} Lonely for base")
    assert "Lonely.from_pretrained" in refusal(table, "Lonely", "inpaint")
    assert "ctrl" in refusal(table, "bINPAINT", "inpaint", {"ctrl": True})
    assert "base, control" in refusal(table, "Unheard", "inpaint")


def test_an_unknown_condition_gives_the_pip_line() -> None:
    text = refusal(registry(BASE), "aINPAINT", "inpaint", {"controlnet": True})
    assert "pip install autopipe-controlnet" in text


def test_no_condition_is_ever_dropped() -> None:
    table = registry(BASE, CONTROL)
    assert table.resolve("bINPAINT", "inpaint", {"ctrl": False}).pipeline.name == "bINPAINT"
    for task in TASKS:
        refusal(table, "bINPAINT", task, {"ctrl": True})


def test_a_plugin_with_a_problem_is_named_where_it_explains() -> None:
    broken = Problem(Plugin("sdxl", "autopipe-sdxl", "0.1"), "broken", "ImportError: flux")
    text = refusal(registry(BASE, problems=(broken,)), "StableDiffusionXLPipeline", "inpaint")
    assert "autopipe-sdxl 0.1" in text
    assert "ImportError: flux" in text
    assert "broken" in refusal(registry(problems=(broken,)), "Unheard")


def test_identities_go_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("fake_a")
    module.Net = type("Net", (), {"__module__": "fake_a"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_a", module)
    table = registry(BASE)
    component = table.component("lib", "Net")
    assert component is not None
    cls = load_target(component.target)
    assert table.identity(cls) == ("lib", "Net")
    assert table.identity(type("Mine", (cls,), {})) == ("lib", "Net")
    assert table.identity(dict) is None
    assert table.component("subprocess", "Popen") is None


@pytest.mark.parametrize("line", ["raise RuntimeError('no kernel')", "def (", "raise SystemExit"])
def test_a_target_that_can_not_be_imported_harms_no_other(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_zoo.py").write_text(line)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = ModuleType("fake_a")
    module.Good = type("Good", (), {"__module__": "fake_a"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_a", module)
    schedulers = tuple(
        Component(target.partition(":")[2], target, kind="scheduler")
        for target in ("broken_zoo:Bad", "fake_a:Good")
    )
    table = registry(Family("zoo", components=schedulers))
    with pytest.raises(PluginError, match="pip install --force-reinstall --no-deps broken_zoo"):
        table.load("Bad")
    assert table.compatible_schedulers(dict) == [table.load("Good")]


def test_schedulers_of_one_kind_are_compatible(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("fake_kinds")
    made = {
        "Curve": {"config_kind": "curve"},
        "Plain": {"config_kind": "diffusion"},
        "Twin": {"config_kind": "diffusion"},
        "Inverse": {"config_kind": "diffusion", "listed": False},
        "Alone": {"config_kind": "diffusion", "has_compatibles": False},
    }
    for name, members in made.items():
        setattr(module, name, type(name, (), {"__module__": "fake_kinds", **members}))
    monkeypatch.setitem(sys.modules, "fake_kinds", module)
    schedulers = [Component(n, f"fake_kinds:{n}", kind="scheduler") for n in made]
    # By another name, which earlier releases wrote.
    schedulers.append(replace(schedulers[0], library="deprecated"))
    table = registry(Family("zoo", components=tuple(schedulers)))
    named = {
        name: [one.__name__ for one in table.compatible_schedulers(table.load(name))]
        for name in made
    }
    assert named["Plain"] == named["Twin"] == ["Plain", "Twin"]
    assert named["Curve"] == ["Curve"]
    # Nothing is replaced by an inverse, but an inverse may be by others.
    assert named["Inverse"] == ["Inverse", "Plain", "Twin"]
    assert named["Alone"] == ["Alone"]


def test_a_missing_public_name_gives_the_pip_line() -> None:
    with pytest.raises(MissingPluginError, match="pip install autopipe-sdxl"):
        registry(BASE).load("StableDiffusionXLPipeline")


def test_tasks_are_parsed_with_a_hint() -> None:
    assert Task.parse("image-to-image") is Task.IMAGE2IMAGE
    with pytest.raises(ArgumentError, match="inpaint"):
        Task.parse("inpainnt")


def test_the_module_shows_the_default_registry() -> None:
    assert autopipe.registry.families is default_registry().families
    assert autopipe.registry.problems == default_registry().problems
    assert set(autopipe.registry.tasks) == set(Task)
    with pytest.raises(UnsupportedCheckpointError):
        autopipe.registry.resolve("Unheard")
    with pytest.raises(TypeError):
        autopipe.registry.families["x"] = BASE  # type: ignore[index]


def test_unknown_attributes_are_attribute_errors_with_a_hint() -> None:
    with pytest.raises(AttributeError, match="DiffusionPipeline"):
        autopipe.DifusionPipeline  # noqa: B018
    assert not hasattr(autopipe, "__nothing__")


# Families registered at run time


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default registry is what it was, afterwards."""
    monkeypatch.setattr("autopipe.registry._default", default_registry())


@pytest.mark.usefixtures("restored")
def test_a_registered_family_is_used_like_an_installed_one() -> None:
    before = default_registry()
    noted = Family("noted", pipelines=cells("noted"))
    register(noted)
    assert resolve("notedINPAINT", "text2image").pipeline.name == "notedTEXT2IMAGE"
    assert autopipe.registry.families == {**before.families, "noted": noted}
    assert "noted" not in before.families, "a registry that someone holds must not change"
    after = default_registry()
    register(Family("noted", pipelines=cells("noted")))
    assert default_registry() is after, "the same value again changes nothing"


@pytest.mark.usefixtures("restored")
def test_what_is_taken_or_flawed_is_not_registered() -> None:
    register(Family("noted", pipelines=cells("noted")))
    after = default_registry()
    with pytest.raises(PluginError, match="family noted is defined differently by noted"):
        register(Family("noted"))
    mine = replace(cells("noted")[-1], target="mine:Pipe")
    with pytest.raises(PluginError, match=f"pipeline {mine.name}"):
        register(Family("other", pipelines=(mine,)))
    with pytest.raises(PluginError, match="serves the task smell"):
        register(Family("other", pipelines=(Pipeline("X", "m:X", "smell", "x"),)))
    with pytest.raises(PluginError, match="identifier"):
        register(Family("no name"))
    assert default_registry() is after


def test_a_reader_is_absent_where_a_name_begins_as_it_says() -> None:
    reader = Reader("alone", ("first.weight",), "module:Layout", absent=("old", "network."))
    assert reader.matches({"first.weight", "networks.weight", "old.weight"})
    assert not reader.matches({"first.weight", "network.weight"})
    assert not reader.matches({"first.weight", "old"})
    assert not reader.matches({"second.weight"})
