"""LoRAs in the formats that people have for this family, against diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.loras import random_lora
from support.parity import TOLERANCE, generators
from torch import Tensor

from autopipe import ZImagePipeline

pytestmark = pytest.mark.parity

CALL: dict[str, Any] = {
    "prompt": "a cat",
    "height": 16,
    "width": 16,
    "num_inference_steps": 2,
    "output_type": "np",
}
LAYERS = ("to_q", "to_v", "to_out.0", "w1", "w2", "adaLN_modulation.0", "adaLN_modulation.1")


def peft(stem: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    """Return a layer as programs write it that train with names of their own for the network."""
    stem = stem.replace("transformer.", "diffusion_model.", 1)
    return {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}


def scripts(stem: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    """Return a layer in the format of sd-scripts, with an alpha of half its rank."""
    stem = stem.removeprefix("transformer.").replace(".", "_")
    names = {"lora_down.weight": down, "lora_up.weight": up, "alpha": torch.tensor(len(down) / 2)}
    return {f"lora_unet_{stem}.{name}": one for name, one in names.items()}


def same(stem: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    return {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}


@pytest.mark.parametrize("make", [same, peft, scripts])
def test_formats(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    make: Callable[..., dict[str, Tensor]],
) -> None:
    ours = build(ZImagePipeline)
    # sd-scripts trains the layers of attention and the perceptrons.
    layers = LAYERS[:5] if make is scripts else LAYERS
    tensors = random_lora({"transformer": ours.transformer}, layers=layers)
    stems = {name.partition(".lora_")[0] for name in tensors}
    found: dict[str, Tensor] = {}
    for stem in sorted(stems):
        found |= make(stem, *(tensors[f"{stem}.lora_{part}.weight"] for part in "AB"))

    def images(pipe: Any) -> np.ndarray:
        drawn: np.ndarray = pipe(generator=generators(0), **CALL).images
        return drawn

    plain, theirs = images(ours), reference(ours)
    ours.load_lora_weights(dict(found), adapter_name="one")
    theirs.load_lora_weights(dict(found), adapter_name="one")
    try:
        drawn, expected = images(ours), images(theirs)
    finally:
        theirs.unload_lora_weights()
    assert record("LoRAs", drawn, expected) <= TOLERANCE
    assert np.abs(drawn - plain).max() > 1e-2
