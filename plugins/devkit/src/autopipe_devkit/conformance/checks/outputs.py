"""Checks of what `__call__` takes and returns."""

from __future__ import annotations

import inspect

import numpy as np
import torch
from PIL import Image

from autopipe.tasks import PROTOCOLS, missing_parameters

from ..subject import Subject, quiet

ROUNDING = 0.5 / 255 + 1e-6
"""A picture of bytes is at most half a step away from one of floats."""


def protocol(subject: Subject) -> None:
    """`__call__` names every parameter of its task, and takes no others by `*` or `**`."""
    cls, task = subject.cls, subject.task
    assert getattr(cls, f"__{task.value}__", False), (
        f"{cls.__name__} must be a subclass of autopipe.{PROTOCOLS[task].__name__}"
    )
    assert missing_parameters(cls, task) == ()
    for method in (cls.__call__, cls.__init__):
        gathered = [
            str(parameter)
            for parameter in inspect.signature(method).parameters.values()
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
        assert gathered == [], f"{cls.__name__}.{method.__name__} must name its parameters"


def outputs(subject: Subject) -> None:
    """`"pil"` and `"np"` are the same pictures, in [0, 1]; so is the tuple."""
    pipe = subject.load()
    array = subject.images(pipe)
    assert isinstance(array, np.ndarray)
    assert array.ndim == 4
    assert array.shape[-1] in (1, 3), "an array of images is of shape (B, H, W, C)"
    assert np.isfinite(array).all()
    assert array.min() >= 0
    assert array.max() <= 1

    pictures = _images(subject, pipe, "pil")
    assert isinstance(pictures, list)
    assert all(isinstance(picture, Image.Image) for picture in pictures)
    levels = np.stack([np.asarray(picture) for picture in pictures]).reshape(array.shape)
    assert np.abs(levels / 255 - array).max() <= ROUNDING

    with quiet():
        parts = pipe(**subject.arguments(return_dict=False))  # type: ignore[operator]
    assert isinstance(parts, tuple)
    assert np.array_equal(parts[0], array)


def tensors(subject: Subject) -> None:
    """`"pt"` are the pictures of `"np"` as a tensor, (B, C, H, W), in [0, 1] too."""
    pipe = subject.load()
    tensor = _images(subject, pipe, "pt")
    assert isinstance(tensor, torch.Tensor)
    assert tensor.ndim == 4
    array = tensor.permute(0, 2, 3, 1).cpu().float().numpy()
    assert np.array_equal(array, subject.images(pipe))


def _images(subject: Subject, pipe: object, kind: str) -> object:
    with quiet():
        return pipe(**subject.arguments(output_type=kind)).images  # type: ignore[operator]
