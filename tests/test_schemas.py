"""The arguments of every installed pipeline can be written as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from autopipe.registry import default_registry
from autopipe.resolution.targets import load_target
from autopipe.tasks import Task
from autopipe_requests.models import facts_of
from autopipe_requests.models import arguments_model
from autopipe_requests.schema import call_arguments, request_schema
from autopipe_requests.signatures import takes_of
from autopipe_requests.signatures import NOT_GIVEN


def every() -> Iterator[Any]:
    for family in default_registry().families.values():
        for one in family.pipelines:
            for task in one.tasks or (None,):
                yield pytest.param(one.target, task, id=f"{one.name}-{task}")


@pytest.mark.parametrize(("target", "task"), every())
def test_every_pipeline_has_a_model(target: str, task: str | None) -> None:
    cls, named = load_target(target), None if task is None else Task(task)
    model = arguments_model((cls,), named)
    jsonschema.Draft202012Validator.check_schema(request_schema(named, (cls,)))
    facts = facts_of(model)
    assert facts.arguments.keys() | facts.left_out.keys() == takes_of(cls).keys()
    assert [one.name for one in facts.arguments.values() if not one.about] == []
    if named is not None:
        inputs = {one.name for one in named.inputs if one.name in takes_of(cls)}
        assert inputs <= facts.arguments.keys()
    for one in facts.arguments.values():
        if one.default is not NOT_GIVEN:
            (value,) = call_arguments({one.name: one.default}, model).values()
            assert value == takes_of(cls)[one.name].default, one.name


@pytest.mark.parametrize("task", default_registry().tasks)
def test_every_task_has_a_schema(task: Task) -> None:
    classes = [load_target(one.target) for one in default_registry().tasks[task]]
    schema = request_schema(task, classes)
    jsonschema.Draft202012Validator.check_schema(schema)
    name = schema["properties"]["arguments"]["$ref"].rpartition("/")[2]
    needed = [one.name for one in task.inputs if one.required]
    assert schema["$defs"][name].get("required", []) == needed
