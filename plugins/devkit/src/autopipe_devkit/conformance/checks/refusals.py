"""Checks of what a call refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from autopipe.errors import AutopipeError
from autopipe.tasks import Task

from ..subject import Subject

OF_EVERY_TASK: tuple[dict[str, Any], ...] = (
    {"no_such_keyword": 1},
    {"prompt": 5},
    {"prompt": None},
    {"num_inference_steps": 0},
    {"num_images_per_prompt": 0},
    {"output_type": "jpeg"},
    {"generator": [torch.Generator()] * 3},
    {"callback_on_step_end_tensor_inputs": ["no_such_tensor"], "callback_on_step_end": print},
)
OF_A_TASK: dict[Task, tuple[dict[str, Any], ...]] = {
    Task.TEXT2IMAGE: ({"latents": torch.zeros(1, 1, 1)}, {"height": -8, "width": -8}),
    Task.IMAGE2IMAGE: ({"image": None}, {"image": 5}, {"strength": 2.0}),
    Task.INPAINT: ({"mask_image": None}, {"image": 5}, {"strength": -1.0}),
}


def refusals(subject: Subject) -> None:
    """A bad argument is one of `autopipe.errors`, raised before any network was used."""
    pipe = subject.load()
    for bad in (*OF_EVERY_TASK, *OF_A_TASK[subject.task]):
        with _without_work(bad):
            try:
                subject.images(pipe, **bad)
            except AutopipeError:
                continue
        raise AssertionError(f"{subject.pipeline.name} accepted {bad}")


@contextmanager
def _without_work(bad: dict[str, Any]) -> Iterator[None]:
    """No network may be used inside, where `bad` is what is to be refused."""

    def used(module: nn.Module, arguments: Any) -> None:
        raise AssertionError(f"a {type(module).__name__} was used in spite of {bad}")

    handle = nn.modules.module.register_module_forward_pre_hook(used)
    try:
        yield
    finally:
        handle.remove()
