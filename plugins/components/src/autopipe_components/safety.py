"""What families share that look at their images before they give them out."""

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
    """Refuse a safety checker that can't see; warn, once, if one is `required` and absent.

    Args:
        pipeline: the class name of the pipeline that is made.
        license_of: the model whose licence asks for a checker.

    Raises:
        ArgumentError: a safety checker without a feature extractor.
    """
    if needs_extractor(safety_checker) and feature_extractor is None:
        raise ArgumentError(
            "a safety checker needs a feature extractor: pass feature_extractor= too, or "
            "safety_checker=None to return images unchecked"
        )
    if safety_checker is None and required:
        _warn_unchecked(pipeline, license_of)


def needs_extractor(checker: Any) -> bool:
    """Whether there is a checker that sees what a feature extractor makes of images.

    A function of a program's own may look at the images themselves.
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
    """What `checker` makes of `images`: they themselves, and for each kind a list of flags.

    Args:
        checker: a network, or a function of a program's own, which may return one flag for all.
        extractor: makes what a network sees of `pictures`; a function may go without.
        images: a tensor or an array of B images.
        pictures: makes them PIL images.
        device, dtype: of what the network sees.
        kinds: how many kinds of flags there are.

    Raises:
        ArgumentTypeError: the checker returns something else.
    """
    seen = None
    if extractor is not None:
        seen = extractor(pictures(), return_tensors="pt").pixel_values
        seen = in_dtype_of(checker, seen.to(device=device, dtype=dtype))
    found = checker(images=images, clip_input=seen)
    whole = isinstance(found, (tuple, list)) and len(found) == 1 + kinds
    if not whole or not isinstance(found[0], (Tensor, np.ndarray, list)):
        raise ArgumentTypeError(
            f"the safety checker, a {type(checker).__name__}, returned {shown(found)}; it must "
            f"return the images and {kinds} {'lists' if kinds > 1 else 'list'} of flags, such as "
            f"(images, {', '.join(['[False] * len(images)'] * kinds)})"
        )
    checked, *flags = found
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
            f"the safety checker returned {shown(given)} as flags of {count} images; it must "
            f"return a list with True or False for each"
        )
    return flags


@functools.cache
def _warn_unchecked(pipeline: str, license_of: str) -> None:
    """Say, once for each class, that nothing looks at the images."""
    _log.warning(
        "%s has no safety checker, so its images are returned unchecked. The licence of %s asks "
        "that unfiltered results are not shown to the public; pass "
        "requires_safety_checker=False where that is settled.",
        pipeline,
        license_of,
    )


def blackened(images: Any, flags: Sequence[bool], found: str) -> Any:
    """`images` with the flagged ones set to zero, in a copy, and a warning if there are any.

    Args:
        images: a tensor, an array or a list, of the length of `flags`.
        found: what was found in them, for the warning.
    """
    if not any(flags):
        return images
    _log.warning(
        "the safety checker found %s in %d of %d images and made them black; try another prompt "
        "or seed",
        found,
        sum(flags),
        len(flags),
    )
    if isinstance(images, list):
        return [one * 0 if bad else one for one, bad in zip(images, flags)]
    black = images.clone() if isinstance(images, Tensor) else np.array(images)
    black[list(flags)] = 0
    return black
