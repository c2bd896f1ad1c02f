"""`autopipe schema` prints what requests can contain."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from autopipe.cli import main
from autopipe.manifest import AddOn, Manifest, Pipeline
from autopipe.registry import Registry, register
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.tasks import Input, Task
from autopipe_requests.commands import schema
from autopipe_requests.family import autopipe_family


class Dream:
    def __call__(self, mood: Any, num_inference_steps: int = 2, generator: Any = None) -> Any:
        """Dream.

        Args:
            num_inference_steps: the number of steps.
        """


class Doze:
    def __call__(self, mood: Any, depth: float = 0.5) -> Any: ...


HERE = __name__
MOOD = Input("mood", "label", help="a mood")
MANIFEST = Manifest(
    "sleepers",
    tasks=(
        Task("dream", auto_class="AutoPipelineForDream", inputs=(MOOD,), parameters=("mood",)),
        Task("wake", auto_class="AutoPipelineForWaking"),
    ),
    pipelines=(
        Pipeline("Dream", f"{HERE}:Dream", "dream", "dream"),
        Pipeline("Doze", f"{HERE}:Doze", "dream", "doze"),
        Pipeline("Gone", "no_such_module:Gone", "dream", "gone"),
        Pipeline("Part", f"{HERE}:Part", "dream", "part", opens_as="dream", needs="other"),
    ),
    addons=(AddOn("glow", f"{HERE}:Glow", (Input("glow_by", "number"),)),),
)


@pytest.fixture(autouse=True)
def sleepers(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Installed(Plugin("requests", "autopipe-requests", "1"), autopipe_family())
    monkeypatch.setattr("autopipe.registry._default", Registry([own]))
    register(MANIFEST)

    class Opened:
        class index:
            class_name = "Dream"

    monkeypatch.setattr(schema, "open_checkpoint", lambda *_: Opened)


def printed(capsys: pytest.CaptureFixture[str], *line: str) -> Any:
    assert main(["schema", *line]) == 0
    found = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def test_without_a_task_the_tasks_are_listed(capsys) -> None:
    assert main(["schema"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["dream", "mood", "4"] in lines
    assert ["wake", "0"] in lines


def test_a_task_has_what_any_of_its_pipelines_takes(capsys) -> None:
    assert main(["schema", "dream"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)["$defs"]["DreamArguments"]
    assert {*found["properties"]} == {"mood", "num_inference_steps", "depth", "glow_by"}
    assert found["required"] == ["mood"]
    assert "left out Gone" in told.err
    assert "Part" not in told.err, "which no Auto class opens"


def test_a_model_has_exactly_what_its_pipeline_takes(capsys) -> None:
    found = printed(capsys, "--model", "here")
    assert found["properties"]["task"]["const"] == "dream"
    own = found["$defs"]["DreamArguments"]["properties"]
    assert {*own} == {"mood", "num_inference_steps"}
    assert own["num_inference_steps"] == {
        "default": 2, "description": "the number of steps.", "title": "Num Inference Steps",
        "type": "integer",
    }  # fmt: skip
    found = printed(capsys, "dream", "--model", "here", "--attach", "glow", "--flat")
    assert found["required"] == ["mood", "glow_by"]
    assert {"seed", "checkpoint", "mood", "glow_by"} < {*found["properties"]}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["drem"], "there is no task 'drem'; the tasks are text2image, image2image, inpaint, "),
        (["drem"], "Did you mean 'dream'?"),
        (["wake"], "no installed plugin has a pipeline for the task wake"),
        (["--model", "here", "--attach", "glo"], "Did you mean 'glow'?"),
    ],
)
def test_what_is_not_there_is_named(line: list[str], words: str, capsys) -> None:
    assert main(["schema", *line]) == 2
    assert words in capsys.readouterr().err
