"""Tasks: names with data, that programs use as before and plugins add to."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

import autopipe
from autopipe.errors import ArgumentError, AutoClassError
from autopipe.manifest import Family, Pipeline
from autopipe.registry import default_registry, register
from autopipe.tasks import PARAMETERS, PROTOCOLS, Inpaint, Input, Task, missing_parameters

UPSCALE = Task(
    "magnify",
    auto_class="AutoPipelineForMagnifying",
    aliases=("bigger-image",),
    inputs=(Input("image", "image"),),
    parameters=("image", "num_inference_steps"),
    samples={"num_inference_steps": (2, 3)},
)


@pytest.fixture
def upscaling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopipe.registry._default", default_registry())
    register(
        Family(
            "upscaling",
            tasks=(UPSCALE,),
            pipelines=(Pipeline("Upscaler", "m:Upscaler", "magnify", "upscaling"),),
        )
    )


def test_a_task_is_its_name() -> None:
    task = Task.INPAINT
    assert task == "inpaint"
    assert {task: 1}["inpaint"] == 1
    assert (str(task), f"{task}", task.value, task.name) == ("inpaint",) * 3 + ("INPAINT",)
    assert json.dumps({"task": task}) == '{"task": "inpaint"}'
    assert Task("inpaint") is task
    assert [copy.copy(task), copy.deepcopy(task), pickle.loads(pickle.dumps(task))] == [task] * 3
    assert pickle.loads(pickle.dumps(task)) is task
    with pytest.raises(AttributeError, match="immutable"):
        task.output = "noise"


def test_those_of_the_core_come_first_and_keep_their_data() -> None:
    assert list(Task)[:3] == [Task.TEXT2IMAGE, Task.IMAGE2IMAGE, Task.INPAINT]
    assert len(Task) == len(list(Task))
    assert Task.INPAINT in list(Task)
    assert PROTOCOLS[Task.INPAINT] is Inpaint
    assert {"mask_image", "strength"} <= set(PARAMETERS[Task.INPAINT])
    for task in list(Task)[:3]:
        assert set(task.samples) | {i.name for i in task.inputs} <= set(task.parameters)


def test_unknown_tasks_have_a_hint() -> None:
    for find in (Task, Task.parse):
        with pytest.raises(ArgumentError, match=r"'inpainnt'.*Did you mean 'inpaint'"):
            find("inpainnt")


@pytest.mark.parametrize("word", ["inpainting", "Image-Inpainting", "image_inpainting", "INPAINT"])
def test_other_names_are_understood(word: str) -> None:
    assert Task.parse(word) is Task.INPAINT


@pytest.mark.usefixtures("upscaling")
def test_a_task_of_a_plugin_is_used_like_those_of_the_core() -> None:
    assert "magnify" in list(Task)
    task = Task("magnify")
    assert task == UPSCALE
    assert task.samples == UPSCALE.samples
    assert Task.parse("bigger_image") is task
    assert pickle.loads(pickle.dumps(UPSCALE)) is task
    cls = autopipe.AutoPipelineForMagnifying
    assert cls is autopipe.AutoPipelineForMagnifying
    assert cls.task == "magnify"
    assert pickle.loads(pickle.dumps(cls)) is cls
    with pytest.raises(AutoClassError, match="AutoPipelineForMagnifying"):
        cls()
    assert "AutoPipelineForMagnifying" in dir(autopipe)
    assert autopipe.registry.resolve("Upscaler", "magnify").pipeline.name == "Upscaler"


def test_without_the_plugin_its_auto_class_is_unknown() -> None:
    with pytest.raises(AttributeError, match="AutoPipelineForSmelling"):
        _ = autopipe.AutoPipelineForSmelling


def test_missing_parameters_are_those_that_the_call_does_not_name() -> None:
    class Half:
        def __call__(self, image: object) -> None: ...

    assert missing_parameters(Half, UPSCALE) == ("num_inference_steps",)


def test_a_manifest_may_not_ask_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import autopipe.registry as module
    from autopipe.resolution.discovery import Problem, discover

    asked: list[str] = []

    class Point:
        name, value, dist = "asking", "asking", None

        def load(self) -> object:
            asked.append(Task("inpaint"))
            return Task("magnify")

    def found() -> tuple[object, tuple[Problem, ...]]:
        return discover([Point()], {})

    monkeypatch.setattr(module, "discover", found)
    monkeypatch.setattr(module, "_default", None)
    (problem,) = default_registry().problems
    assert asked == ["inpaint"]
    assert "plain strings" in problem.reason


def test_what_programs_did_with_the_enumeration_works() -> None:
    assert Task["INPAINT"] is Task.INPAINT
    assert Task.__members__["TEXT2IMAGE"] is Task.TEXT2IMAGE
    assert list(reversed(Task)) == list(Task)[::-1]
    assert sorted([Task.TEXT2IMAGE, Task.INPAINT]) == ["inpaint", "text2image"]
    with pytest.raises(KeyError):
        _ = Task["OUTPAINT"]


def test_a_declaration_without_an_auto_class_says_what_is_missing() -> None:
    with pytest.raises(ArgumentError, match="give auto_class="):
        Task("smell", inputs=(Input("image", "image"),))
