"""Two strangers whose names collide: both stay, and only those names are in question."""

from __future__ import annotations

import json

import pytest

import autopipe as house
from autopipe.errors import AutopipeError, MissingPluginError, UnsupportedCheckpointError
from conftest import Run

INSTALLED = ("clips", "shapes", "rival")

BOTH = ("autopipe-shapes", "autopipe-rival")

CHOSEN = """
import json
from autopipe import registry
from autopipe.registry import default_registry
there = default_registry()
print(json.dumps({
    "pipeline": registry.resolve("ShapesPipeline").plugin.dist,
    "engine": there.entry("engine", "traced").target,
    "name": there.target("ShapesNetwork"),
    "families": sorted(registry.families),
}))
"""


def names_both(message: object) -> bool:
    return all(dist in str(message) for dist in BOTH)


def test_both_stay_in_use() -> None:
    assert {"clips", "shapes", "rival"} <= set(house.registry.families)
    for checkpoint in ("demo:rival", "demo:clips"):
        house.DiffusionPipeline.from_pretrained(checkpoint)
    picture = house.AutoPipelineForUnconditional.from_pretrained("demo:rival")().images[0]
    assert picture.size == (8, 8)
    assert house.registry.resolve("ShapesEditPipeline", "edit").family == "shapes"


def test_what_both_declare_equally_is_shared() -> None:
    assert [str(task) for task in house.Task].count("unconditional") == 1
    # Only the rival gives this name to it, and only the shapes say what repeats a call.
    assert house.Task.parse("unconditional-image-generation").repeats == "batch_size"
    served = [pipeline.name for pipeline in house.registry.tasks[house.Task("unconditional")]]
    assert "RivalPipeline" in served


def test_only_three_names_are_in_question() -> None:
    problems = house.registry.problems
    assert {problem.kind for problem in problems} == {"duplicate"}
    told = [problem.reason.partition(" is defined differently")[0] for problem in problems]
    assert sorted(told) == ["engine traced", "name ShapesNetwork", "pipeline ShapesPipeline"]


def test_each_error_names_both() -> None:
    with pytest.raises(UnsupportedCheckpointError) as refused:
        house.DiffusionPipeline.from_pretrained("demo:shapes")
    assert names_both(refused.value)
    pipe = house.DiffusionPipeline.from_pretrained("demo:rival")
    with pytest.raises(MissingPluginError) as refused:
        pipe.use_engine("traced")
    assert names_both(refused.value)
    for name in ("ShapesNetwork", "ShapesPipeline"):
        with pytest.raises((AutopipeError, ImportError)) as refused:
            getattr(house, name)
        assert names_both(refused.value)


def test_doctor_names_both(autopipe: Run) -> None:
    found = json.loads(autopipe("doctor", "--json", code=1))
    assert len(found["findings"]) == 3
    for finding in found["findings"]:
        assert names_both(finding["subject"] + finding["reason"])
        assert "AUTOPIPE_PREFER" in finding["hint"]
    states = {plugin["name"]: plugin["state"] for plugin in found["plugins"]}
    assert (states["clips"], states["shapes"]) == ("in use", "in use")
    assert states["rival"] == "partly in use"


@pytest.mark.parametrize("dist", BOTH)
def test_the_user_chooses(autopipe: Run, python: Run, dist: str) -> None:
    found = json.loads(python(CHOSEN, AUTOPIPE_PREFER=dist))
    package = dist.replace("-", "_")
    assert found["pipeline"] == dist
    assert found["engine"].startswith(f"{package}.")
    assert found["name"].startswith(f"{package}.")
    assert {"clips", "shapes", "rival"} <= set(found["families"])
    told = autopipe("resolve", "demo:shapes", "--json", AUTOPIPE_PREFER=dist)
    assert json.loads(told)["package"] == dist
