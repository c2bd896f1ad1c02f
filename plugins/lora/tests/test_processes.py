"""A pipeline with LoRAs in another process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from torch import Tensor

from .conftest import draw


def test_a_spawned_process_draws_the_same(
    pipe: Any, lora: Callable[..., dict[str, Tensor]]
) -> None:
    pipe.load_lora_weights(lora(), adapter_name="ink")
    pipe.load_lora_weights(lora(1, dora=True), adapter_name="oil")
    pipe.set_adapters(["ink", "oil"], [{"unet": 0.5}, 0.3])
    acting = draw(pipe)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as other:
        assert np.array_equal(other.submit(draw, pipe).result(), acting)
