"""Tiny pipelines, and LoRAs for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.loras import make_checkpoint, random_lora
from torch import Tensor, nn

from autopipe import DiffusionPipeline

Draw = Callable[..., np.ndarray]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="session")
def checkpoint_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("xl"), xl=True)


@pytest.fixture
def pipe(checkpoint: Path) -> Any:
    made = DiffusionPipeline.from_pretrained(checkpoint)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def pipe_xl(checkpoint_xl: Path) -> Any:
    made = DiffusionPipeline.from_pretrained(checkpoint_xl)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def lora(checkpoint: Path) -> Callable[..., dict[str, Tensor]]:
    """Makes the tensors of a LoRA for `pipe`: `lora(seed, components=("unet",), ...)`."""
    networks = DiffusionPipeline.from_pretrained(checkpoint).components

    def made(
        seed: int = 0, components: tuple[str, ...] = ("unet", "text_encoder"), **options: Any
    ) -> dict[str, Tensor]:
        chosen: dict[str, nn.Module] = {name: networks[name] for name in components}
        return random_lora(chosen, seed, **options)

    return made


def draw(pipe: Any, **arguments: Any) -> np.ndarray:
    """Return the picture that a call with two steps draws, (1, H, W, 3) in [0, 1]."""
    call = {"num_inference_steps": 2, "output_type": "np", **arguments}
    found: np.ndarray = pipe("a cat", generator=torch.Generator().manual_seed(1), **call).images
    return found
