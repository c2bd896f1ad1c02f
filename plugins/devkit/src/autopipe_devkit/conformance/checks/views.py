"""Checks of views: pipelines of several tasks on one set of components."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import autopipe
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.placement.base import networks_of
from autopipe.registry import default_registry
from autopipe.resolution.targets import load_target
from autopipe.scheduling import SchedulerMixin
from autopipe.tasks import Task

from ..subject import Subject, quiet


def views(subject: Subject) -> None:
    """`from_pipe` shares every component but schedulers, and doesn't change the source."""
    for dtype in (torch.float32, torch.bfloat16):
        source = subject.load(torch_dtype=dtype)
        before = _weights(source)
        index, options = source.index(), dict(source.options)
        with quiet():
            view = subject.cls.from_pipe(source)
        for name, component in source.components.items():
            if isinstance(component, SchedulerMixin):
                assert view.components[name] is not component, f"{name} must be a copy"
                assert view.components[name].config == component.config
            else:
                assert view.components[name] is component, f"{name} must be the same object"
        assert _weights(source) == before, "from_pipe moved or cast the source's weights"
        assert (source.index(), dict(source.options)) == (index, options)
        assert dict(view.options) == options


def _weights(pipe: DiffusionPipeline) -> dict[str, tuple[Any, ...]]:
    return {
        f"{name}.{key}": (tensor.data_ptr(), tensor.dtype, tensor.device)
        for name, network in networks_of(pipe.components).items()
        for key, tensor in network.state_dict().items()
    }


def tasks(subject: Subject) -> None:
    """The Auto class opens the checkpoint, and switches to every task of its row and back."""
    name, task = subject.pipeline.name, subject.task
    registry = default_registry()
    assert registry.resolve(name, task).pipeline.name == name
    with quiet():
        pipe = _auto(task).from_pretrained(subject.folder)
    assert type(pipe) is subject.cls
    pipe.set_progress_bar_config(disable=True)
    expected = subject.result(pipe)
    for other, there in subject.row:
        assert registry.resolve(name, other).pipeline == there
        with quiet():
            away = _auto(other).from_pipe(pipe)
            back = _auto(task).from_pipe(away)
        assert type(away) is load_target(there.target)
        assert type(back) is subject.cls
        assert dict(back.options) == dict(pipe.options)
        assert np.array_equal(subject.result(back), expected)
        assert _weights(back) == _weights(pipe)


def _auto(task: Task) -> Any:
    """Return the Auto class of `task`."""
    return getattr(autopipe, task.auto_class)
