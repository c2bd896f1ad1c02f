"""Checks that calls refuse bad arguments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from autopipe.checkpoint.checkpoint import Checkpoint
from autopipe.checkpoint.outline import outline, rehearse
from autopipe.errors import AutopipeError
from autopipe.tasks import Task

from ..subject import Subject

WRONG_INPUTS: dict[str, Any] = {
    "text": 5,
    "image": 5,
    "mask": 5,
    "video": 5,
    "audio": 5,
    "label": "no such label",
    "number": "not a number",
}
"""An invalid value for each kind of input."""

WRONG: tuple[dict[str, Any], ...] = (
    {"num_inference_steps": 0},
    {"output_type": "jpeg"},
    {"generator": [torch.Generator()] * 3},
    {"callback_on_step_end_tensor_inputs": ["no_such_tensor"], "callback_on_step_end": print},
    {"latents": torch.zeros(1, 1, 1)},
    {"height": -8, "width": -8},
    {"strength": 2.0},
    {"strength": -1.0},
)
"""Invalid arguments in all tasks that have these parameters."""


def refusals(subject: Subject) -> None:
    """A bad argument raises one of `autopipe.errors` before any network is called.

    Good arguments are accepted even if the networks have no weights, since tools check them early.
    """
    in_advance = outline(Checkpoint.open(subject.folder, {}).plan(subject.cls))
    given = subject.arguments()
    rehearse(in_advance, {name: given[name] for name in given if name != "generator"})
    pipe = subject.load()
    for bad in wrong(subject.task):
        with _without_work(bad):
            try:
                subject.output(pipe, **bad)
            except AutopipeError:
                continue
        raise AssertionError(f"{subject.pipeline.name} accepted {bad}")


def wrong(task: Task) -> Iterator[dict[str, Any]]:
    """Yield arguments that a call for `task` must refuse."""
    yield {"no_such_keyword": 1}
    for given in task.inputs:
        if given.kind in WRONG_INPUTS:
            yield {given.name: WRONG_INPUTS[given.kind]}
        if given.required:
            yield {given.name: None}
    if task.repeats is not None:
        yield {task.repeats: 0}
    yield from (bad for bad in WRONG if bad.keys() <= set(task.parameters))


@contextmanager
def _without_work(bad: dict[str, Any]) -> Iterator[None]:
    """Context manager that fails if a network is called; `bad` is for the message."""

    def used(module: nn.Module, arguments: Any) -> None:
        raise AssertionError(f"a {type(module).__name__} was used in spite of {bad}")

    handle = nn.modules.module.register_module_forward_pre_hook(used)
    try:
        yield
    finally:
        handle.remove()
