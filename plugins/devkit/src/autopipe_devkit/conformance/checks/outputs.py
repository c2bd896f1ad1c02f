"""Checks of the parameters and the output of `__call__`."""

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
"""The largest difference between pictures of bytes and of floats: half a level."""


def protocol(subject: Subject) -> None:
    """`__call__` names every parameter of its task, and has no `*` or `**` parameters."""
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
    """The output contains the result of the task, in finite numbers; so does the tuple."""
    pipe = subject.load()
    array = subject.result(pipe)
    assert array.size, f"{subject.task.output} of the output is empty"
    assert np.isfinite(array).all(), "the output has values that aren't finite"
    if "return_dict" in subject.task.parameters:
        parts = subject.output(pipe, return_dict=False)
        assert isinstance(parts, tuple), f"return_dict=False gives a {type(parts).__name__}"
        assert np.array_equal(as_array(parts[0]), array), "return_dict=False gives something else"


def pictures(subject: Subject) -> None:
    """`"pil"` and `"np"` give the same pictures, of the same size, with values in [0, 1]."""
    pipe = subject.load()
    array = _made(subject, pipe, "np")
    assert isinstance(array, np.ndarray), f"output_type='np' gives a {type(array).__name__}"
    assert array.ndim == 4, f"output_type='np' gives an array of shape {array.shape}"
    assert array.shape[-1] in (1, 3), "an array of images is of shape (B, H, W, C)"
    _in_range("np", array)

    found = _made(subject, pipe, "pil")
    assert isinstance(found, list), f"output_type='pil' gives a {type(found).__name__}"
    assert all(isinstance(picture, Image.Image) for picture in found), "'pil' gives no pictures"
    sizes = [picture.size for picture in found]
    (width, height), count = array.shape[-2:-4:-1], len(array)
    assert sizes == [(width, height)] * count, (
        f"output_type='pil' gives pictures of {sizes}, and 'np' {count} of {(width, height)}"
    )
    levels = np.stack([np.asarray(picture) for picture in found]).reshape(array.shape)
    apart = np.abs(levels / 255 - array).max()
    assert apart <= ROUNDING, f"'pil' and 'np' are up to {apart:.2g} away from each other"


def tensors(subject: Subject) -> None:
    """`"pt"` gives the pictures of `"np"` as a tensor (B, C, H, W) with values in [0, 1]."""
    pipe = subject.load()
    tensor = _made(subject, pipe, "pt")
    assert isinstance(tensor, torch.Tensor), f"output_type='pt' gives a {type(tensor).__name__}"
    assert not tensor.requires_grad, (
        "output_type='pt' gives a tensor that requires grad: a call keeps everything for gradients"
    )
    assert tensor.ndim == 4, f"output_type='pt' gives a tensor of shape {tuple(tensor.shape)}"
    array = tensor.permute(0, 2, 3, 1).cpu().float().numpy()
    _in_range("pt", array)
    expected = _made(subject, pipe, "np")
    assert isinstance(expected, np.ndarray)
    assert array.shape == expected.shape, (
        f"output_type='pt' gives {array.shape} with channels last, and 'np' {expected.shape}"
    )
    assert np.array_equal(array, expected), "output_type='pt' gives other values than 'np'"


def _in_range(kind: str, array: np.ndarray) -> None:
    assert np.isfinite(array).all(), f"output_type={kind!r} gives values that aren't finite"
    assert 0 <= array.min() <= array.max() <= 1, (
        f"output_type={kind!r} gives values from {array.min():.3g} to {array.max():.3g}, not in "
        f"[0, 1]"
    )


def _made(subject: Subject, pipe: DiffusionPipeline, kind: str) -> object:
    taken = set(subject.taken)
    oblong = {}
    if {"height", "width"} <= taken and "image" not in taken:
        # Not square, so that swapped axes are noticed.
        oblong = {"height": subject.size[1], "width": 2 * subject.size[0]}
    made: object = getattr(subject.output(pipe, output_type=kind, **oblong), subject.task.output)
    return made
