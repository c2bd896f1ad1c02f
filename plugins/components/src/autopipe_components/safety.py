"""What families share that look at their images before they give them out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.wording import logger

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
    if safety_checker is not None and feature_extractor is None:
        raise ArgumentError(
            "a safety checker needs a feature extractor: pass feature_extractor= too, or "
            "safety_checker=None to return images unchecked"
        )
    if safety_checker is None and required:
        _warn_unchecked(pipeline, license_of)


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
