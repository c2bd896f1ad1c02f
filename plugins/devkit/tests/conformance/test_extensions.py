"""What a plugin adds besides pipelines and components is checked where it adds some."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from autopipe.attaching.attachment import Attachment
from autopipe.attaching.engine import NetworkEngine
from autopipe.checkpoint.single.layout import Contents, Layout, SingleFile
from autopipe.manifest import AddOn, Command, Condition, Engine, Family, Reader, Runner
from autopipe.tasks import Input, Task
from autopipe_devkit.conformance.checks import EXTENSIONS, OF_A_FAMILY, of_family
from autopipe_devkit.family import autopipe_family


class Glow(Attachment):
    inputs = (Input("glow_scale", "number"),)

    def after_step(self, run: Any, strength: float) -> Any:
        return None


class Idle(Attachment):
    pass


class Fast(NetworkEngine):
    def prepare(self, network: Any, method: str) -> Any:
        return getattr(network, method)


class Slow(NetworkEngine):
    pass


class Sketch:
    @classmethod
    def from_pretrained(cls, name: str) -> Sketch:
        return cls()


def declare(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    parser.description = "Draws maps."
    return lambda arguments: 0


def declare_nothing_to_run(parser: argparse.ArgumentParser) -> None:
    parser.description = "Draws maps."


def declare_in_silence(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    return lambda arguments: 0


def declare_a_broken_help(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    parser.add_argument("--size", help="in 100% of the cases")
    return declare(parser)


class Mapped(Layout):
    @classmethod
    def read(cls, file: SingleFile) -> Contents:
        return Contents({})


def distribute(
    groups: object,
    make: object,
    *,
    workers: int | None,
    devices: object,
    threads: int,
    stopping: object,
) -> Iterator[object]:
    return iter(())


def read(path: str, folder: str) -> None:
    """Reads nothing."""


def read_the_path_alone(path: str) -> None:
    """Reads nothing."""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets find what is in this module."""
    module = ModuleType("stranger")
    vars(module).update(globals())
    monkeypatch.setitem(sys.modules, "stranger", module)


def of(field: str, *entries: Any) -> Family:
    return Family("stranger", **{field: entries})


TASK = Task(
    "upscale",
    auto_class="AutoPipelineForText2Image",
    inputs=(Input("image", "image"), Input("prompt", "text")),
    parameters=("image", "prompt"),
    samples={"prompt": ("a cat",)},
)
LABELLED = Task(
    "upscale",
    auto_class="AutoPipelineForText2Image",
    inputs=(Input("label", "label"),),
    parameters=("label",),
)

GOOD = [
    ("addons", AddOn("glow", "stranger:Glow", Glow.inputs)),
    ("engines", Engine("fast", "stranger:Fast")),
    ("runners", Runner("far", "stranger:distribute")),
    ("commands", Command("map", "stranger:declare", "draw a map")),
    ("readers", Reader("flat", ("a.b",), "stranger:read")),
    ("readers", Reader("mapped", ("a.b",), "stranger:Mapped")),
    ("samples", TASK),
    ("conditions", Condition("sketch", "sketch", "stranger:Sketch")),
]
BAD = [
    ("addons", AddOn("glow", "stranger:Absent")),
    ("addons", AddOn("glow", "stranger:ModuleType")),
    ("addons", AddOn("glow", "stranger:Glow")),
    ("addons", AddOn("glow", "stranger:Idle")),
    ("engines", Engine("fast", "stranger:Absent")),
    ("engines", Engine("fast", "stranger:ModuleType")),
    ("engines", Engine("fast", "stranger:Slow")),
    ("runners", Runner("far", "stranger:Absent")),
    ("runners", Runner("far", "stranger:read")),
    ("commands", Command("map", "stranger:declare")),
    ("commands", Command("map", "stranger:declare_nothing_to_run", "draw a map")),
    ("commands", Command("map", "stranger:declare_in_silence", "draw a map")),
    ("commands", Command("map", "stranger:declare_a_broken_help", "draw a map")),
    ("readers", Reader("flat", ("a.b",), "stranger:read_the_path_alone")),
    ("readers", Reader("flat", (), "stranger:read")),
    ("readers", Reader("flat", ("a.b",), "stranger:Layout")),
    ("readers", Reader("flat", ("a.b",), "stranger:Glow")),
    ("samples", LABELLED),
    ("conditions", Condition("sketch", "sketch", "stranger:ModuleType")),
]


@pytest.mark.parametrize(("check", "entry"), GOOD)
def test_what_is_sound_passes(check: str, entry: Any, here: None) -> None:
    OF_A_FAMILY[check](of(EXTENSIONS[check], entry))


@pytest.mark.parametrize(("check", "entry"), BAD)
def test_what_is_not_fails(check: str, entry: Any, here: None) -> None:
    with pytest.raises(Exception):  # noqa: B017
        OF_A_FAMILY[check](of(EXTENSIONS[check], entry))


def test_every_extension_is_tried() -> None:
    for cases in (GOOD, BAD):
        assert {check for check, _ in cases} == set(EXTENSIONS)


def test_a_check_is_run_where_there_is_something_to_look_at() -> None:
    assert set(of_family(Family("empty"))) == OF_A_FAMILY.keys() - EXTENSIONS.keys()
    for check, entry in GOOD:
        assert check in set(of_family(of(EXTENSIONS[check], entry)))


def test_the_rows_of_a_condition_have_what_it_brings(doodle: Family) -> None:
    def sketch(keyword: str, *inputs: str) -> Condition:
        return Condition("sketch", keyword, inputs=tuple(Input(name, "text") for name in inputs))

    rows = tuple(replace(p, conditions=frozenset({"sketch"})) for p in doodle.pipelines)
    family = replace(doodle, pipelines=(*doodle.pipelines, *rows))
    check = OF_A_FAMILY["conditions"]
    check(replace(family, conditions=(sketch("network", "prompt"),)))
    with pytest.raises(AssertionError, match="no component sketch"):
        check(replace(family, conditions=(sketch("sketch"),)))
    with pytest.raises(AssertionError, match="takes no hint"):
        check(
            replace(
                family,
                conditions=(sketch("network", "hint"),),
            )
        )


def test_the_command_of_this_package_passes() -> None:
    manifest = autopipe_family()
    assert "commands" in set(of_family(manifest))
    OF_A_FAMILY["commands"](manifest)
