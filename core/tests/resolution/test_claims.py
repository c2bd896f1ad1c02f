"""Who wins a name, for every kind of thing that a plugin can bring."""

from __future__ import annotations

import itertools

import pytest

from autopipe.auto import auto_class
from autopipe.errors import AutopipeError, MissingPluginError, UnsupportedCheckpointError
from autopipe.manifest import (
    AddOn,
    Command,
    Component,
    Condition,
    Engine,
    Export,
    Family,
    Pipeline,
    Reader,
    Runner,
)
from autopipe.registry import Registry
from autopipe.resolution.claims import PREFER
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.tasks import Input, Task


def of(**offers: Family) -> Registry:
    """A registry of plugins, each from the distribution that its keyword names, with dashes."""
    installed = [
        Installed(Plugin(manifest.name, dist.replace("_", "-"), "1"), manifest)
        for dist, manifest in offers.items()
    ]
    return Registry(installed)


def upscale(**changes: object) -> Task:
    data = {
        "auto_class": "AutoPipelineForUpscaling",
        "inputs": (Input("image", "image"),),
        "parameters": ("image", "steps"),
        **changes,
    }
    return Task("upscale", **data)  # type: ignore[arg-type]


CLAIMS = {
    "pipeline": lambda m: {"pipelines": (Pipeline("P", f"{m}:P", "inpaint", f"line_{m}"),)},
    "cell": lambda m: {"pipelines": (Pipeline(f"P{m}", f"{m}:P", "inpaint", "line"),)},
    "component": lambda m: {"components": (Component("N", f"{m}:N", library="lib"),)},
    "condition": lambda m: {"conditions": (Condition("c", f"key_{m}"),)},
    "keyword": lambda m: {"conditions": (Condition(f"c_{m}", "key"),)},
    "task": lambda m: {"tasks": (upscale(output=f"output_{m}"),)},
    "addon": lambda m: {"addons": (AddOn("a", f"{m}:A"),)},
    "engine": lambda m: {"engines": (Engine("e", f"{m}:E"),)},
    "runner": lambda m: {"runners": (Runner("r", f"{m}:run"),)},
    "command": lambda m: {"commands": (Command("cmd", f"{m}:declare"),)},
    "reader": lambda m: {"readers": (Reader("layout", ("key",), f"{m}:read"),)},
    "name": lambda m: {"exports": (Export("Helper", f"{m}:Helper"),)},
}
"""What a plugin with code in module `m` claims, so that two of them claim one name in two ways."""

KEYS: dict[str, object] = {
    "pipeline": "P",
    "cell": ("line", frozenset(), "inpaint"),
    "component": ("lib", "N"),
    "condition": "c",
    "keyword": "key",
    "task": "upscale",
    "addon": "a",
    "engine": "e",
    "runner": "r",
    "command": "cmd",
    "reader": "layout",
    "name": "Helper",
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_the_same_claim_twice_is_shared(kind: str) -> None:
    content = CLAIMS[kind]("shared")
    table = of(one=Family("one", **content), two=Family("two", **content))
    assert table.problems == ()
    assert KEYS[kind] in table._settled.of(kind)
    assert set(table.families) == {"one", "two"}


@pytest.mark.parametrize("kind", CLAIMS)
def test_two_claims_put_that_name_in_question_and_nothing_else(kind: str) -> None:
    extra = Pipeline("Other", "b:Other", "inpaint", "other")
    one, two = (Family(m, **CLAIMS[kind](m)) for m in "ab")
    three = Family("third", pipelines=(extra,))
    table = of(dist_a=one, dist_b=two, dist_c=three)
    (problem,) = table.problems
    assert problem.kind == "duplicate"
    assert "dist-a" in str(problem)
    assert "dist-b" in str(problem)
    assert "neither is used" in problem.reason
    assert PREFER in problem.reason
    assert KEYS[kind] not in table._settled.of(kind)
    assert set(table.families) == {"a", "b", "third"}
    assert table.resolve("Other", "inpaint").pipeline == extra


@pytest.mark.parametrize(("kind", "first"), itertools.product(CLAIMS, ("a", "b")))
def test_the_user_chooses(kind: str, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFER, f"elsewhere, Dist_{first.upper()}, dist-{'ab'.strip(first)}")
    one, two = (Family(m, **CLAIMS[kind](m)) for m in "ab")
    for offers in ({"dist_a": one, "dist_b": two}, {"dist_b": two, "dist_a": one}):
        table = of(**offers)
        winner = table._settled.of(kind)[KEYS[kind]]
        assert winner.installed.manifest.name == first
        (problem,) = table.problems
        assert f"the one of {first} (dist-{first} 1) is used" in problem.reason
        assert problem.plugin.dist == f"dist-{'ab'.strip(first)}"


@pytest.mark.parametrize("dist", ["aaa", "zzz"])
def test_else_what_this_project_publishes_wins_whatever_the_order(dist: str) -> None:
    name, line = "StableDiffusionXLPipeline", "sdxl"
    ours = Family("sdxl", pipelines=(Pipeline(name, "ours:P", "text2image", line),))
    theirs = Family("theirs", pipelines=(Pipeline(name, "theirs:P", "text2image", line),))
    for offers in ({"autopipe_sdxl": ours, dist: theirs}, {dist: theirs, "autopipe_sdxl": ours}):
        table = of(**offers)
        assert table.resolve(name, "text2image").pipeline.target == "ours:P"
        assert [p.plugin.dist for p in table.problems] == [dist]


def test_errors_that_a_conflict_explains_name_both() -> None:
    one, two = (
        Family(
            m,
            pipelines=(
                Pipeline("P", f"{m}:P", "inpaint", "p"),
                Pipeline(f"Q{m}", f"{m}:Q", "inpaint", "cell"),
                Pipeline(f"R{m}", f"{m}:R", "text2image", "cell"),
            ),
            **CLAIMS["engine"](m),
            **CLAIMS["name"](m),
        )
        for m in "ab"
    )
    table = of(dist_a=one, dist_b=two)

    def said(attempt) -> str:  # type: ignore[no-untyped-def]
        with pytest.raises(AutopipeError) as caught:
            attempt()
        return str(caught.value)

    for text in (
        said(lambda: table.resolve("P")),
        said(lambda: table.resolve("Qa", "text2image")),
        said(lambda: table.entry("engine", "e")),
        said(lambda: table.load("Helper")),
    ):
        assert "dist-a" in text
        assert "dist-b" in text
        assert PREFER in text
    assert table.resolve("Qa").pipeline.name == "Qa"


def test_a_plugin_that_is_named_as_another_goes_on_with_all_but_its_name() -> None:
    one = Family("zoo", pipelines=(Pipeline("Lion", "one:Lion", "inpaint", "lion"),))
    two = Family("zoo", pipelines=(Pipeline("Tiger", "two:Tiger", "inpaint", "tiger"),))
    table = of(dist_a=one, dist_b=two)
    assert table.families == {}
    (problem,) = table.problems
    assert "family zoo" in problem.reason
    for name in ("Lion", "Tiger"):
        assert table.resolve(name, "inpaint").pipeline.name == name
    assert table.resolve("Tiger").plugin.dist == "dist-b"


@pytest.mark.parametrize("prefer", ["", "third"])
def test_what_the_core_declares_is_its_own(prefer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFER, prefer)
    inpaint = Task("inpaint", auto_class="AutoPipelineForInpainting", output="frames")
    third = Family("third", tasks=(inpaint,), commands=(Command("doctor", "third:declare"),))
    table = of(third=third)
    assert table.task("inpaint").output == "images"
    assert table.of("command")["doctor"].target.startswith("autopipe.cli")
    assert [p.plugin.dist for p in table.problems] == ["third"] * 2


def test_one_published_package_that_claims_a_name_twice_is_told() -> None:
    name = "StableDiffusionXLPipeline"
    ours = Family(
        "sdxl",
        pipelines=(Pipeline(name, "ours:P", "text2image", "sdxl"),),
        exports=(Export(name, "ours:Other"),),
    )
    (problem,) = of(autopipe_sdxl=ours).problems
    assert f"name {name}" in problem.reason


# Components


QWEN = Component("Qwen3Model", "transformers:Qwen3Model", library="transformers")


def test_a_claim_of_a_class_of_transformers_counts_for_the_own_lines_alone() -> None:
    light = Component("Qwen3Model", "light:Qwen3Model", library="transformers")
    one = Family(
        "one", pipelines=(Pipeline("One", "m:One", "inpaint", "one"),), components=(light,)
    )
    two = Family("two", pipelines=(Pipeline("Two", "m:Two", "inpaint", "two"),), components=(QWEN,))
    three = Family("three", pipelines=(Pipeline("Three", "m:Three", "inpaint", "three"),))
    row = Pipeline("OneControl", "m:OneControl", "inpaint", "one", frozenset({"control"}))
    control = Family("control", pipelines=(row,), conditions=(Condition("control", "control"),))
    table = of(one=one, two=two, three=three, control=control)
    assert table.problems == ()
    pair = "transformers", "Qwen3Model"
    found = {p.name: table.component(*pair, p) for p in table.tasks[Task.INPAINT]}
    assert found == {"One": light, "Two": QWEN, "Three": None, "OneControl": light}
    assert table.component(*pair) is None
    assert "Qwen3Model" not in table.names()


def test_a_claim_for_the_own_lines_alone_disputes_no_name_of_others() -> None:
    """Three families have a class of one name; that of the third is for all checkpoints."""
    private, other, public = (
        Family(
            m,
            pipelines=(Pipeline(f"P{m}", f"{m}:P", "inpaint", f"line_{m}"),),
            components=(Component("Net", f"{m}:Net", only_own_lines=m != "c"),),
        )
        for m in "abc"
    )
    table = of(dist_a=private, dist_b=other)
    assert table.problems == ()
    assert table.component("diffusers", "Net") is None
    assert "Net" not in table.names()
    table = of(dist_a=private, dist_b=other, dist_c=public)
    assert table.problems == ()
    for pipeline in table.tasks[Task.INPAINT]:
        component = table.component("diffusers", "Net", pipeline)
        assert component is not None
        assert component.target == f"{pipeline.name[-1]}:Net"
    assert table.component("diffusers", "Net") == public.components[0]
    assert table.target("Net") == "c:Net"


def test_the_own_claim_of_a_family_counts_in_its_checkpoints_where_two_differ() -> None:
    one, two = (
        Family(
            m,
            pipelines=(Pipeline(f"P{m}", f"{m}:P", "inpaint", f"line_{m}"),),
            components=(Component("Net", f"{m}:Net"),),
        )
        for m in "ab"
    )
    table = of(dist_a=one, dist_b=two)
    for pipeline in table.tasks[Task.INPAINT]:
        component = table.component("diffusers", "Net", pipeline)
        assert component is not None
        assert component.target == f"{pipeline.name[-1]}:Net"
    assert table.component("diffusers", "Net") is None
    (problem,) = table.problems
    assert "component diffusers Net" in problem.reason


def test_a_newcomer_on_our_line_replaces_no_class_in_our_checkpoints() -> None:
    """It sorts first, adds a pipeline to the line, and claims what the checkpoints name."""
    name, line = "StableDiffusionXLPipeline", "sdxl"
    pairs = {("transformers", "CLIPTextModel"), ("transformers", "CLIPTokenizer"), ("d", "Net")}
    ours = Family(
        "sdxl",
        pipelines=(Pipeline(name, "ours:P", "text2image", line),),
        components=(Component("CLIPTextModel", "ours:Encoder", library="transformers"),
                    Component("Net", "ours:Net", library="d")),
    )  # fmt: skip
    theirs = Family(
        "aaa",
        pipelines=(Pipeline("AaaPipeline", "aaa:P", "inpaint", line),),
        components=tuple(Component(n, f"aaa:{n}", library=lib) for lib, n in sorted(pairs)),
    )
    table = of(aaa=theirs, autopipe_sdxl=ours)
    stored, added = table.pipeline(name), table.pipeline("AaaPipeline")
    found = {n: table.component(lib, n, stored) for lib, n in pairs}
    assert found["CLIPTextModel"] == ours.components[0]
    assert found["Net"] == ours.components[1]
    assert table.component("transformers", "CLIPTextModel", added) == theirs.components[1]
    assert {p.plugin.dist for p in table.problems} == {"aaa"}
    told = " ".join(p.reason for p in table.problems)
    assert "CLIPTextModel" in told
    assert table.resolve("AaaPipeline").pipeline == added
    assert table.component("transformers", "CLIPTextModel") is None


def test_two_strangers_on_one_line_put_their_classes_there_in_question() -> None:
    one, two = (
        Family(
            m,
            pipelines=(Pipeline(f"P{m}", f"{m}:P", task, "line"),),
            components=(Component("CLIPTextModel", f"{m}:E", library="transformers"),),
        )
        for m, task in (("a", "inpaint"), ("b", "text2image"))
    )
    row = Pipeline("Row", "c:Row", "inpaint", "line", frozenset({"hint"}))
    third = Family("c", pipelines=(row,), conditions=(Condition("hint", "hint"),))
    table = of(dist_a=one, dist_b=two, dist_c=third)
    for m, family in (("a", one), ("b", two)):
        own = table.component("transformers", "CLIPTextModel", table.pipeline(f"P{m}"))
        assert own == family.components[0]
    assert table.component("transformers", "CLIPTextModel", row) is None
    (problem,) = table.problems
    assert "component of line line transformers CLIPTextModel" in problem.reason


@pytest.mark.parametrize("dist", ["aaa", "zzz"])
def test_another_name_for_our_class_is_not_what_it_is_saved_as(dist: str) -> None:
    class Net:
        __module__ = "ours"
        __qualname__ = "Net"

    class Pipe:
        __module__ = "ours"
        __qualname__ = "P"

    name = "StableDiffusionXLPipeline"
    ours = Family(
        "sdxl",
        pipelines=(Pipeline(name, "ours:P", "text2image", "sdxl"),),
        components=(Component("Net", "ours:Net"),),
    )
    theirs = Family(
        "other",
        pipelines=(Pipeline("Renamed", "ours:P", "text2image", "other"),),
        components=(Component("Renamed", "ours:Net", library="other"),),
    )
    for offers in ({"autopipe_sdxl": ours, dist: theirs}, {dist: theirs, "autopipe_sdxl": ours}):
        table = of(**offers)
        assert table.identity(Net) == ("diffusers", "Net")
        assert table.identity(Pipe) == ("diffusers", name)
        assert table.resolve("Renamed").pipeline.target == "ours:P"


@pytest.mark.parametrize("name", ["DiffusionPipeline", "Task", "AutoPipelineForText2Image"])
def test_what_the_core_exports_is_its_own(name: str) -> None:
    table = of(aaa=Family("aaa", exports=(Export(name, "aaa:X"),)))
    (problem,) = table.problems
    assert problem.plugin.dist == "aaa"
    assert f"name {name}" in problem.reason
    target = table.target(name)
    assert target is not None
    assert target.startswith("autopipe.")


# Tasks


def test_equal_tasks_unite_their_aliases_and_samples() -> None:
    one = Family("one", tasks=(upscale(aliases=("super-resolution",), samples={"steps": (1, 2)}),))
    two = Family("two", tasks=(upscale(aliases=("enlarge",)),))
    (task,) = (t for t in of(one=one, two=two).tasks if t == "upscale")
    assert set(task.aliases) == {"super-resolution", "enlarge"}
    assert dict(task.samples) == {"steps": (1, 2)}


def test_a_task_that_nobody_declares_is_told_and_the_plugin_stays() -> None:
    cells = (
        Pipeline("Known", "m:Known", "inpaint", "line"),
        Pipeline("Odd", "m:Odd", "smell", "line"),
    )
    table = of(dist=Family("nose", pipelines=cells))
    (problem,) = table.problems
    assert problem.kind == "missing"
    assert "smell" in problem.reason
    assert table.resolve("Odd", "inpaint").pipeline.name == "Known"


def test_a_row_for_a_family_that_is_absent_lacks_nothing() -> None:
    row = Pipeline("PLed", "p:PLed", "upscale", "line_p", frozenset({"led"}))
    leading = Family("leading", pipelines=(row,), conditions=(Condition("led", "led"),))
    assert of(p=leading).problems == ()
    line = Family("line", pipelines=(Pipeline("P", "p:P", "inpaint", "line_p"),))
    (problem,) = of(p=leading, q=line).problems
    assert problem.reason.startswith("PLed serves the task upscale, which is not declared")


def test_a_class_may_serve_several_tasks_and_one_of_another_plugin() -> None:
    both = Pipeline("Edit", "m:Edit", "upscale", "edit", also=("image2image",))
    declaring = Family("declaring", tasks=(upscale(),))
    table = of(a=Family("editing", pipelines=(both,)), b=declaring)
    assert (both.task, both.tasks) == ("upscale", ("upscale", "image2image"))
    assert table.resolve("Edit").pipeline == both
    for task in both.tasks:
        assert table.resolve("Edit", task).pipeline == both
        (key,) = (t for t in table.tasks if t == task)
        assert both in table.tasks[key]
    with pytest.raises(UnsupportedCheckpointError, match=r"Edit \(image2image\), Edit \(upscale\)"):
        table.resolve("Edit", "inpaint")


def test_a_name_comes_before_another_tasks_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Task("enlarge", auto_class="AutoPipelineForEnlarging", aliases=("upscale",))
    table = of(one=Family("one", tasks=(upscale(),)), two=Family("two", tasks=(other,)))
    monkeypatch.setattr("autopipe.registry._default", table)
    assert Task.parse("upscale") == Task("upscale") == "upscale"
    assert auto_class("upscale").task == "upscale"


def test_tasks_with_one_auto_class_have_each_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [Task(name, auto_class="AutoPipelineForBoth") for name in ("xa", "ya")]
    table = of(**{f"d_{t}": Family(f"f_{t}", tasks=(t,)) for t in tasks})
    monkeypatch.setattr("autopipe.registry._default", table)
    assert [auto_class(task).task for task in tasks] == ["xa", "ya"]
    assert any("AutoPipelineForBoth" in p.reason for p in table.problems)
    with pytest.raises(MissingPluginError, match="AutoPipelineForBoth"):
        table.load("AutoPipelineForBoth")


# Single-file layouts


def test_a_reader_is_found_by_names_of_tensors() -> None:
    ldm = Reader("ldm", ("model.diffusion_model.out.2.weight", "first_stage_model.x"), "m:read")
    flux = Reader("flux", ("double_blocks.0.img_attn.qkv.weight",), "m:read")
    table = of(one=Family("one", readers=(ldm,)), two=Family("two", readers=(flux,)))
    assert table.reader([*ldm.keys, "more"], "x.safetensors") == ldm
    assert table.reader(flux.keys, "x.safetensors") == flux
    with pytest.raises(UnsupportedCheckpointError, match="no installed plugin knows its layout"):
        table.reader(["first_stage_model.x"], "x.safetensors")
    with pytest.raises(UnsupportedCheckpointError, match="flux and ldm"):
        table.reader([*ldm.keys, *flux.keys], "x.safetensors")


def test_an_entry_that_nobody_offers_has_a_hint() -> None:
    table = of(one=Family("one", **CLAIMS["engine"]("m")))
    assert table.entry("engine", "e").target == "m:E"
    with pytest.raises(MissingPluginError, match=r"there is no add-on 'ink'\. Installed: none"):
        table.entry("addon", "ink")
    with pytest.raises(MissingPluginError, match="Did you mean 'cmd'"):
        of(one=Family("one", **CLAIMS["command"]("m"))).entry("command", "cmds")
