"""Every field of every entry of a manifest, with values that it can't have."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest

from autopipe.cli import doctor, families, main
from autopipe.cli.parser import build, commands
from autopipe.hooks import hookimpl
from autopipe.manifest import (
    AddOn,
    Command,
    Component,
    Condition,
    Engine,
    Export,
    Manifest,
    Method,
    Module,
    Pipeline,
    Probe,
    Reader,
    Runner,
)
from autopipe.registry import Registry
from autopipe.resolution.discovery import discover
from autopipe.resolution.flaws import ENTRIES
from autopipe.tasks import Input, Task


class Hostile:
    """An object whose every question raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]


_NESTED: list[object] = []
_NESTED.append(_NESTED)

VALUES = {
    "none": None,
    "bool": True,
    "huge": 10**1000,
    "nan": math.nan,
    "bytes": b"\xff",
    "dict": {"a": 1},
    "list": ["a"],
    "empty": "",
    "empty tuple": (),
    "nested": (((),),),
    "endless": _NESTED,
    "long": "x" * 1_000_000,
    "surrogate": "a\ud83d",
    "escape": "\x1b]0;title\x07",
    "direction": "a\u202eb",
    "blank": "a b",
    "path": "../../x",
    "percent": "%(prog)s %d",
    "type": int,
    "hostile": Hostile(),
    "tuple of hostile": (Hostile(),),
    "tuple of long": ("y" * 1_000_000,) * 3,
}

INPUT = Input("scale", "number", help="how much", required=False)
WHOLE = Manifest(
    "whole",
    pipelines=(Pipeline("WholePipeline", "whole:Pipe", "wholesale", "whole", needs="prior",
                        opens_as="whole"),),
    components=(Component("Net", "whole:Net"),),
    conditions=(Condition("hint", "hint", "whole:Hint", (INPUT,), "a hint"),),
    exports=(Export("helper", "whole:helper"),),
    probes=(Probe(("unet",), "whole:probe"),),
    demo="whole:demo",
    tasks=(Task("wholesale", auto_class="AutoPipelineForWholesale", inputs=(INPUT,),
                parameters=("scale",), samples={"scale": (1, 2)}),),
    addons=(AddOn("style", "whole:Style", (INPUT,), "a style"),),
    engines=(Engine("fast", "whole:Fast"),),
    runners=(Runner("far", "whole:run"),),
    commands=(Command("wave", "whole:wave", "greet"),),
    readers=(Reader("layout", ("key",), "whole:read"),),
    methods=(Method("whole_method", "whole:method"),),
    modules=(Module("whole_module", "whole.module"),),
)  # fmt: skip


def _task(field: str, value: object) -> Task:
    kept = {n: v for n, v in vars(WHOLE.tasks[0]).items() if n != field}
    return Task("wholesale", **kept, **{field: value})  # type: ignore[arg-type]


def changed() -> Iterator[tuple[str, Manifest]]:
    """Each field of the manifest, of its entries and of their inputs, with each bad value."""
    for value in VALUES.values():
        for field in dataclasses.fields(Manifest):
            yield f"{field.name}", dataclasses.replace(WHOLE, **{field.name: value})
        for field in dataclasses.fields(Input):
            inputs = (dataclasses.replace(INPUT, **{field.name: value}),)
            for owner in ("conditions", "addons"):
                (entry,) = getattr(WHOLE, owner)
                entries = (dataclasses.replace(entry, inputs=inputs),)
                yield f"{owner} inputs {field.name}", dataclasses.replace(WHOLE, **{owner: entries})
            tasks = (_task("inputs", inputs),)
            yield f"tasks inputs {field.name}", dataclasses.replace(WHOLE, tasks=tasks)
        for owner in ENTRIES.keys() - {"tasks"}:
            (entry,) = getattr(WHOLE, owner)
            for field in dataclasses.fields(entry):
                entries = (dataclasses.replace(entry, **{field.name: value}),)
                yield f"{owner} {field.name}", dataclasses.replace(WHOLE, **{owner: entries})
        for name in vars(WHOLE.tasks[0]):
            if name != "auto_class" or value is not None:
                yield (
                    f"tasks {name}",
                    dataclasses.replace(WHOLE, tasks=(_task(name, value),)),
                )


def point(name: str, manifest: object) -> object:
    module = ModuleType(name)
    module.autopipe_family = hookimpl(lambda: manifest)  # type: ignore[attr-defined]
    dist = SimpleNamespace(name=f"dist-{name}", version="1")
    return SimpleNamespace(name=name, dist=dist, value=name, load=lambda: module)


CASES = list(changed())


def test_what_cannot_be_used_is_a_problem_and_the_rest_goes_on(monkeypatch, capsys) -> None:
    assert len(CASES) > 1000
    sound = Manifest("sound", pipelines=(Pipeline("Sound", "sound:S", "inpaint", "sound"),))
    taken = set()
    for what, manifest in CASES:
        found, problems = discover([point("bad", manifest), point("sound", sound)], {})
        names = [one.manifest.name for one in found]
        assert "sound" in names, what
        for problem in problems:
            assert problem.kind in ("broken", "incompatible"), what
            assert len(str(problem)) < 4000, what
            assert "\x1b" not in str(problem), what
            assert "\ud83d" not in str(problem), what
        registry = Registry(found, problems)
        assert registry.resolve("Sound").family == "sound"
        registry.component("diffusers", "Net", registry.pipeline("Sound"))
        if problems:
            assert names == ["sound"], what
        else:
            taken.add(what)
            assert len(names) == 2, what
    # What any text is good for, and what may be left out.
    assert {"pipelines line", "conditions help"} <= taken
    assert not {"pipelines name", "commands name", "name"} & taken


def test_eager_is_not_the_name_of_an_engine() -> None:
    manifest = Manifest("bad", engines=(Engine("eager", "bad:Eager"),))
    _, (problem,) = discover([point("bad", manifest)], {})
    assert "eager" in str(problem)


@pytest.mark.parametrize(
    "values", [[name] for name in VALUES if name not in ("tuple of long",)], ids=str
)
def test_the_commands_of_what_is_taken_work(values: list[str], monkeypatch, capsys) -> None:
    """With all that such values are taken for in place at once."""
    value = VALUES[values[0]]
    fields = {}
    for owner in ENTRIES.keys() - {"tasks"}:
        (entry,) = getattr(WHOLE, owner)
        for field in dataclasses.fields(entry):
            one = dataclasses.replace(entry, **{field.name: value})
            made = dataclasses.replace(WHOLE, **{owner: (one,)})
            if discover([point("bad", made)], {})[0]:
                fields[owner] = (dataclasses.replace(fields.get(owner, (entry,))[0],
                                                     **{field.name: value}),)  # fmt: skip
    found, problems = discover([point("bad", dataclasses.replace(WHOLE, **fields))], {})
    registry = Registry(found, problems)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("autopipe.registry._default", registry)
    monkeypatch.setattr(families, "default_registry", lambda: registry)
    monkeypatch.setattr(doctor, "discover", lambda environ: (found, problems))
    for name in commands():
        if name != "wave":
            assert build([name]).format_help()
            assert main([name, "--help"]) == 0
    assert main(["--help"]) == 0
    for line in (["families"], ["doctor"]):
        capsys.readouterr()
        assert main(line) in (0, 1)
        assert main([*line, "--json"]) in (0, 1)
        text = capsys.readouterr().out
        text.encode("ascii", "strict") if values[0] in ("surrogate", "escape") else None
        json.loads(text[text.index("[\n" if line == ["families"] else "{\n") :])
