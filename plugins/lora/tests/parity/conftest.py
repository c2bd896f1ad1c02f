"""Pipelines of both libraries from one checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.parity import quiet_reference  # noqa: F401

import autopipe

TOLERANCE = 1e-4
"""Of images in [0, 1]: float32 rounding, summed in another order, over two steps."""

Pair = tuple[Any, Any]
"""A pipeline of ours, and one of theirs with the same weights."""


@pytest.fixture
def pair(checkpoint: Path, checkpoint_xl: Path) -> Callable[..., Pair]:
    """Makes pipelines of a class of both libraries: `pair("StableDiffusionPipeline")`."""
    import diffusers

    def made(name: str, **components: Pair) -> Pair:
        folder = checkpoint_xl if "XL" in name else checkpoint
        pipes = []
        for number, library in enumerate((autopipe, diffusers)):
            options = {n: two[number] for n, two in components.items()}
            pipe = getattr(library, name).from_pretrained(folder, **options)
            pipe.set_progress_bar_config(disable=True)
            pipes.append(pipe)
        return pipes[0], pipes[1]

    return made


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert ours.shape == theirs.shape
    assert float(np.abs(ours - theirs).max()) <= TOLERANCE
