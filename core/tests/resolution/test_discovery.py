"""Discovery takes entry points made by hand, so that every way to fail can be shown."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace

import pytest

from autopipe.errors import PluginError
from autopipe.hooks import hookimpl
from autopipe.manifest import (
    AddOn,
    Command,
    Component,
    Engine,
    Export,
    Family,
    Pipeline,
    Probe,
    Reader,
    Runner,
)
from autopipe.resolution.deprecation import deprecated
from autopipe.resolution.discovery import discover
from autopipe.resolution.flaws import EARLIER, Earlier
from autopipe.tasks import Input, Task


@dataclass
class Point:
    """A stand-in for an entry point that loads what it is told, and remembers that it did."""

    name: str
    returns: object = None
    dist: object = None
    value: str = "some.module"
    loaded: list[bool] = field(default_factory=list)

    def load(self) -> object:
        self.loaded.append(True)
        if isinstance(self.returns, BaseException):
            raise self.returns
        module = ModuleType(self.name)
        if self.returns is not None:
            module.autopipe_family = hookimpl(lambda: self.returns)  # type: ignore[attr-defined]
        return module


def point(name: str, returns: object = "family", dist: str | None = None) -> Point:
    made = family(name) if returns == "family" else returns
    return Point(name, made, SimpleNamespace(name=dist or f"dist-{name}", version="1.2"))


def family(name: str, **changes: object) -> Family:
    cell = Pipeline(f"{name.title()}Pipeline", f"{name}.it:Pipe", Task.TEXT2IMAGE, name)
    return replace(Family(name=name, pipelines=(cell,)), **changes)  # type: ignore[arg-type]


def task(name: str = "x", **changes: object) -> Task:
    data = {"auto_class": "AutoPipelineForX", "parameters": ("steps",), **changes}
    return Task(name, **data)  # type: ignore[arg-type]


def names(found: tuple) -> list[str]:
    return [installed.manifest.name for installed in found]


def test_families_come_with_their_distribution() -> None:
    found, problems = discover([point("alpha")], {})
    assert problems == ()
    assert names(found) == ["alpha"]
    assert (found[0].plugin.dist, found[0].plugin.version) == ("dist-alpha", "1.2")


@pytest.mark.parametrize(
    ("returns", "kind", "part"),
    [
        (ImportError("no module named x"), "broken", "no module named x"),
        (SystemExit(3), "broken", "SystemExit"),
        (ValueError("boom"), "broken", "boom"),
        (None, "broken", "autopipe_family"),
        (42, "broken", "int"),
        (family("bad", api=99), "incompatible", "API 99"),
        (family("bad", api=1), "incompatible", "set api=2, require autopipe-core"),
        (family("bad", tasks=("upscale",)), "broken", "tuple of Task"),
        (family("bad", tasks=(task(auto_class="no name"),)), "broken", "'no name'"),
        (family("bad", tasks=(task(auto_class="Task"),)), "broken", "AutoPipelineFor..."),
        (family("bad", tasks=(task(), task(output="x"))), "broken", "x more than once"),
        (family("bad", tasks=(task("Up Scale"),)), "broken", "'Up Scale'"),
        (family("bad", tasks=(task(samples=3),)), "broken", "samples"),
        (family("bad", tasks=(task(samples={3: (1,), "a": (1,)}),)), "broken", "samples"),
        (family("bad", tasks=(task(inputs=["image"]),)), "broken", "inputs"),
        (family("bad", commands=(Command("--help", "m:c"),)), "broken", "'--help'"),
        (family("bad", tasks=(task(inputs=(Input("image", "image"),)),)), "broken", "input image"),
        (family("bad", tasks=(task(samples={"x": (1, 2)}),)), "broken", "samples for x"),
        (family("bad", tasks=(task(samples={"steps": (1, 2, 3)}),)), "broken", "samples"),
        (family("bad", tasks=(task(inputs=(Input("steps", "smell"),)),)), "broken", "inputs"),
        (family("bad", commands=(Command("c", "nowhere"),)), "broken", "nowhere"),
        (family("bad", engines=(Engine("e", "m:E"),) * 2), "broken", "e more than once"),
        (family("bad", runners=(Runner("a b", "m:run"),)), "broken", "'a b'"),
        (family("bad", addons=(AddOn("a", "m:A", ("scale",)),)), "broken", "inputs"),
        (family("bad", readers=(Reader("r", (), "m:r"),)), "broken", "keys"),
        (family("bad", pipelines=(Pipeline("P", "m:P", 5, "x"),)), "broken", "task 5"),
        (family("bad", pipelines=(Pipeline("P", "m:P", "a", "x", also=(5,)),)), "broken", "also"),
        (family("bad", pipelines=(Pipeline("P", "m:P", also=("a",)),)), "broken", "no primary"),
        (family("not a name"), "broken", "identifier"),
        (family("bad", pipelines=["x"]), "broken", "tuple of Pipeline"),
        (family("bad", components=(Component("A", "no-colon"),)), "broken", "no-colon"),
        (family("bad", components=(Component("A", "m:A"),) * 2), "broken", "more than once"),
        (family("bad", components=(Component("A", "m:A", kind="net"),)), "broken", "'net'"),
        (family("bad", components=(Component(5, "m:A"),)), "broken", "name 5"),
        (family("bad", exports=(Export("A", None),)), "broken", "target None"),
        (family("bad", demo="folder"), "broken", "package:folder"),
        (family("bad", demo=5), "broken", "demo 5"),
        (family("bad", probes=(Probe(("unet",), "nowhere"),)), "broken", "a probe"),
        (family("bad", probes=(Probe("unet", "m:f"),)), "broken", "folders 'unet'"),
        (
            family("bad", pipelines=(Pipeline("P", "m:P", Task.INPAINT, "x", "control"),)),
            "broken",
            "conditions 'control'",
        ),
        (family("bad", pipelines=(Pipeline("P", "m:P", Task.INPAINT),)), "broken", "neither"),
        (
            family(
                "bad",
                pipelines=(
                    Pipeline("P", "m:P", Task.INPAINT, "x"),
                    Pipeline("Q", "m:Q", Task.INPAINT, "x"),
                ),
            ),
            "broken",
            "one cell",
        ),
    ],
)
def test_a_bad_plugin_is_named_and_the_others_work(returns: object, kind: str, part: str) -> None:
    found, problems = discover([point("good"), point("bad", returns)], {})
    assert names(found) == ["good"]
    (problem,) = problems
    assert problem.kind == kind
    assert part in problem.reason
    assert "dist-bad 1.2" in str(problem)


def test_disabled_plugins_are_not_imported() -> None:
    alpha, beta = point("alpha"), point("beta")
    found, problems = discover([alpha, beta], {"AUTOPIPE_DISABLE": "alpha, other"})
    assert names(found) == ["beta"]
    assert [p.kind for p in problems] == ["disabled"]
    assert not alpha.loaded


def test_only_allowed_plugins_are_imported() -> None:
    alpha, beta = point("alpha"), point("beta")
    found, _ = discover([alpha, beta], {"AUTOPIPE_PLUGINS": "dist-beta"})
    assert names(found) == ["beta"]
    assert not alpha.loaded
    found, _ = discover([alpha, beta], {"AUTOPIPE_PLUGINS": "Dist_Beta"})
    assert names(found) == ["beta"]
    assert names(discover([alpha, beta], {"AUTOPIPE_PLUGINS": ""})[0]) == []


def test_strict_raises_the_first_problem() -> None:
    broken = point("bad", ImportError("gone"))
    with pytest.raises(PluginError, match="gone"):
        discover([broken], {"AUTOPIPE_STRICT": "1"})
    disabled, _ = discover([point("a")], {"AUTOPIPE_STRICT": "1", "AUTOPIPE_DISABLE": "a"})
    assert disabled == ()


def test_two_plugins_of_one_name_are_both_found() -> None:
    found, problems = discover([point("sdxl", dist="b"), point("sdxl", dist="a")], {})
    assert [i.plugin.dist for i in found] == ["a", "b"]
    assert problems == ()


class Untold(BaseException):
    """An error whose text can't be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), GeneratorExit(), Untold(), RecursionError("deep")], ids=repr
)
@pytest.mark.parametrize("where", ["import", "hook"])
def test_whatever_a_plugin_raises_is_its_problem(error: BaseException, where: str) -> None:
    module = ModuleType("bad")

    @hookimpl
    def autopipe_family() -> object:
        raise error

    module.autopipe_family = autopipe_family  # type: ignore[attr-defined]
    bad = point("bad", error)
    if where == "hook":
        bad.load = lambda: module  # type: ignore[method-assign]
    found, problems = discover([bad, point("good")], {})
    assert names(found) == ["good"]
    (problem,) = problems
    assert problem.kind == "broken"
    assert type(error).__name__ in str(problem)


def test_control_c_is_the_users(capsys) -> None:
    with pytest.raises(KeyboardInterrupt):
        discover([point("slow", KeyboardInterrupt())], {})
    assert "importing the plugin slow" in capsys.readouterr().err


def test_what_a_plugin_is_called_is_shown_escaped() -> None:
    name = "bad\x1b]0;title\x07" + "x" * 500
    _, (problem,) = discover([point(name, ValueError("\x1b[31m\u202e"))], {})
    for raw in ("\x1b", "\x07", "\u202e"):
        assert raw not in str(problem)
    assert len(str(problem)) < 500


def test_an_earlier_interface_is_in_use_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EARLIER, 1, Earlier("rename its hook", until="0.9.0"))
    (one,), problems = discover([point("zoo", family("zoo", api=1))], {})
    assert problems == ()
    (said,) = one.deprecations
    assert "API 1" in said
    assert "0.9.0" in said
    assert "rename its hook" in said


def test_what_a_manifest_uses_that_is_deprecated_is_noted_for_its_plugin() -> None:
    class Late(Point):
        def load(self) -> object:
            deprecated("Pipeline(way=...)", since="0.2.0", until="0.4.0", instead="leave it out")
            return super().load()

    made = point("zoo")
    late = Late(made.name, made.returns, made.dist)
    found, problems = discover([late, point("other")], {})
    assert problems == ()
    noted = {one.plugin.name: one.deprecations for one in found}
    assert noted["other"] == ()
    assert "Pipeline(way=...)" in noted["zoo"][0]


def test_an_optional_input_may_be_missing_in_the_parameters() -> None:
    both = (Input("prompt", "text", required=False), Input("steps", "number"))
    made = family("optional", tasks=(task(inputs=both),))
    found, problems = discover([point("optional", made)], {})
    assert problems == ()
    assert names(found) == ["optional"]
