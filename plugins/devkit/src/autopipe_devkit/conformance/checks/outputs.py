"""Checks of what `__call__` takes and returns."""

from __future__ import annotations

import inspect

import numpy as np
import torch
from PIL import Image

from autopipe.pipeline.base import DiffusionPipeline
from autopipe.resolution.targets import load_target
from autopipe.tasks import missing_parameters

from ..subject import Subject, as_array

ROUNDING = 0.5 / 255 + 1e-6
"""A picture of bytes is at most half a step away from one of floats."""


def protocol(subject: Subject) -> None:
    """`__call__` names every parameter of its task, and takes no others by `*` or `**`."""
    cls, task = subject.cls, subject.task
    if task.protocol is not None:
        wanted = load_target(task.protocol)
        marks = [getattr(cls, name, False) for name in wanted.__annotations__]
        assert all(marks), f"{cls.__name__} must be a subclass of {wanted.__name__}"
    assert missing_parameters(cls, task) == ()
    for method in (cls.__call__, cls.__init__):
        gathered = [
            str(parameter)
            for parameter in inspect.signature(method).parameters.values()
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
        assert gathered == [], f"{cls.__name__}.{method.__name__} must name its parameters"


def outputs(subject: Subject) -> None:
    """The output holds what the task makes, in finite numbers; so does the tuple."""
    pipe = subject.load()
    array = subject.result(pipe)
    assert array.size, f"{subject.task.output} of the output is empty"
    assert np.isfinite(array).all()
    if "return_dict" in subject.task.parameters:
        parts = subject.output(pipe, return_dict=False)
        assert isinstance(parts, tuple)
        assert np.array_equal(as_array(parts[0]), array)


def pictures(subject: Subject) -> None:
    """`"pil"` and `"np"` are the same pictures, in [0, 1]."""
    pipe = subject.load()
    array = _made(subject, pipe, "np")
    assert isinstance(array, np.ndarray)
    assert array.ndim == 4
    assert array.shape[-1] in (1, 3), "an array of images is of shape (B, H, W, C)"
    assert array.min() >= 0
    assert array.max() <= 1

    found = _made(subject, pipe, "pil")
    assert isinstance(found, list)
    assert all(isinstance(picture, Image.Image) for picture in found)
    levels = np.stack([np.asarray(picture) for picture in found]).reshape(array.shape)
    assert np.abs(levels / 255 - array).max() <= ROUNDING


def tensors(subject: Subject) -> None:
    """`"pt"` are the pictures of `"np"` as a tensor, (B, C, H, W), in [0, 1] too."""
    pipe = subject.load()
    tensor = _made(subject, pipe, "pt")
    assert isinstance(tensor, torch.Tensor)
    assert tensor.ndim == 4
    array = tensor.permute(0, 2, 3, 1).cpu().float().numpy()
    assert np.array_equal(array, subject.result(pipe))


def _made(subject: Subject, pipe: DiffusionPipeline, kind: str) -> object:
    made: object = getattr(subject.output(pipe, output_type=kind), subject.task.output)
    return made
