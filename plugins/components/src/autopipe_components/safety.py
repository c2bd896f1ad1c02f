"""Runs safety checkers, which inspect images before a pipeline returns them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import logger, shown

from .steps.codec import in_dtype_of

_log = logger(__name__)


def check_safety(
    pipeline: str,
    safety_checker: Any,
    feature_extractor: Any,
    *,
    required: bool,
    license_of: str,
) -> None:
    """Check the safety checker of a pipeline; warn, once, if it is `required` and missing.

    Args:
        pipeline: the class name of the pipeline.
        license_of: the model whose licence asks for a safety checker.

    Raises:
        ArgumentError: if the safety checker needs a feature extractor, and there is none.
    """
    if needs_extractor(safety_checker) and feature_extractor is None:
        raise ArgumentError(
            "a safety checker needs a feature extractor: pass feature_extractor= too, or "
            "safety_checker=None to return images unchecked"
        )
    if safety_checker is None and required:
        _warn_unchecked(pipeline, license_of)


def needs_extractor(checker: Any) -> bool:
    """Whether `checker` exists and takes the output of a feature extractor.

    A plain function may inspect the images themselves.
    """
    return checker is not None and (isinstance(checker, nn.Module) or not callable(checker))


def check_images(
    checker: Any,
    extractor: Any,
    images: Any,
    pictures: Callable[[], Any],
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    kinds: int = 1,
) -> tuple[Any, ...]:
    """Run `checker`; return the images, then a list of B flags for each kind of content.

    Args:
        checker: a network, or a function, which may return a single flag for all images.
        extractor: the feature extractor; None for a function that doesn't need one.
        images: a tensor or an array of B images.
        pictures: a function that returns them as PIL images, for the extractor.
        device, dtype: device and dtype of the network's input.
        kinds: the number of kinds of content.

    Raises:
        ArgumentTypeError: if the result of the checker has another form.
    """
    clip_input = None
    if extractor is not None:
        clip_input = extractor(pictures(), return_tensors="pt").pixel_values
        clip_input = in_dtype_of(checker, clip_input.to(device=device, dtype=dtype))
    result = checker(images=images, clip_input=clip_input)
    complete = isinstance(result, (tuple, list)) and len(result) == 1 + kinds
    if not complete or not isinstance(result[0], (Tensor, np.ndarray, list)):
        raise ArgumentTypeError(
            f"the safety checker, a {type(checker).__name__}, returned {shown(result)}; it must "
            f"return the images and {kinds} {'lists' if kinds > 1 else 'list'} of flags, such as "
            f"(images, {', '.join(['[False] * len(images)'] * kinds)})"
        )
    checked, *flags = result
    return (checked, *(_flags(one, len(checked)) for one in flags))


def _flags(given: Any, count: int) -> list[bool]:
    if given is None or isinstance(given, (bool, np.bool_)):
        return [bool(given)] * count
    try:
        flags = [bool(one) for one in given]
    except (TypeError, ValueError, RuntimeError):
        flags = []
    if len(flags) != count:
        raise ArgumentTypeError(
            f"the safety checker returned {shown(given)} as flags for {count} images; it must "
            f"return a list with True or False for each"
        )
    return flags


@functools.cache
def _warn_unchecked(pipeline: str, license_of: str) -> None:
    """Warn, once for each class, that images are returned unchecked."""
    _log.warning(
        "%s has no safety checker, so its images are returned unchecked. The licence of %s asks "
        "that unfiltered results are not shown to the public; pass "
        "requires_safety_checker=False if you have taken care of that.",
        pipeline,
        license_of,
    )


def blackened(images: Any, flags: Sequence[bool], content: str) -> Any:
    """Return `images` with the flagged ones set to zero in a copy; warn if there are any.

    Args:
        images: a tensor, an array or a list, as long as `flags`.
        content: the kind of content that was flagged, named in the warning.
    """
    if not any(flags):
        return images
    _log.warning(
        "the safety checker found %s in %d of %d images and made them black; try another prompt "
        "or seed",
        content,
        sum(flags),
        len(flags),
    )
    if isinstance(images, list):
        return [one * 0 if bad else one for one, bad in zip(images, flags)]
    black = images.clone() if isinstance(images, Tensor) else np.array(images)
    black[list(flags)] = 0
    return black
