"""LoRAs in the formats that people have for this family, against diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.loras import random_lora
from torch import Tensor

from autopipe import FluxPipeline

pytestmark = pytest.mark.parity

CALL: dict[str, Any] = {
    "prompt": "a cat",
    "height": 16,
    "width": 16,
    "max_sequence_length": 8,
    "num_inference_steps": 2,
    "output_type": "np",
}
LAYERS = ("to_q", "to_out.0", "add_k_proj", "to_add_out", "net.2", "norm1.linear", "proj_mlp")


def scripts(stem: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    """Return a layer in the format of sd-scripts, with an alpha of half its rank."""
    alpha = torch.tensor(len(down) / 2)
    names = {"lora_down.weight": down, "lora_up.weight": up, "alpha": alpha}
    return {f"lora_unet_{stem.replace('.', '_')}.{name}": one for name, one in names.items()}


def processors(stem: str, down: Tensor, up: Tensor) -> dict[str, Tensor]:
    """Return a layer of an attention processor."""
    return {f"{stem}.down.weight": down, f"{stem}.up.weight": up}


SCRIPTS = {
    "double_blocks.1.img_attn.qkv": (16, 48),
    "double_blocks.0.txt_attn.qkv": (16, 48),
    "double_blocks.0.img_attn.proj": (16, 16),
    "double_blocks.1.txt_attn.proj": (16, 16),
    "double_blocks.0.img_mlp.0": (16, 64),
    "double_blocks.0.txt_mlp.2": (64, 16),
    "double_blocks.0.img_mod.lin": (16, 96),
    "single_blocks.0.linear2": (80, 16),
    "single_blocks.1.modulation.lin": (16, 48),
}
PROCESSORS = {
    "double_blocks.0.processor.qkv_lora1": (16, 48),
    "double_blocks.1.processor.qkv_lora2": (16, 48),
    "double_blocks.1.processor.proj_lora1": (16, 16),
    "double_blocks.0.processor.proj_lora2": (16, 16),
    "single_blocks.0.processor.qkv_lora": (16, 48),
    "single_blocks.1.processor.proj_lora": (80, 16),
}


def layers(
    make: Callable[[str, Tensor, Tensor], dict[str, Tensor]], shapes: dict[str, tuple[int, int]]
) -> dict[str, Tensor]:
    # A rank that isn't a multiple of 3: diffusers takes some layers of such ranks for sparse ones.
    source, rank = torch.Generator().manual_seed(0), 2
    found: dict[str, Tensor] = {}
    for stem, (inputs, outputs) in shapes.items():
        down = torch.randn(rank, inputs, generator=source)
        found |= make(stem, down, torch.randn(outputs, rank, generator=source))
    return found


@pytest.fixture
def loaded(build: Callable[..., Any], reference: Callable[[Any], Any]) -> Callable[..., Any]:
    """Loads tensors in both libraries, compares images, and returns ours and one without."""

    def images(pipe: Any, **call: Any) -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        found: np.ndarray = pipe(generator=generator, **CALL, **call).images
        return found

    def run(tensors: dict[str, Tensor], **call: Any) -> tuple[np.ndarray, np.ndarray]:
        ours = build(FluxPipeline)
        plain, theirs = images(ours), reference(ours)
        ours.load_lora_weights(dict(tensors), adapter_name="one")
        theirs.load_lora_weights(dict(tensors), adapter_name="one")
        try:
            found, expected = images(ours, **call), images(theirs, **call)
        finally:
            theirs.unload_lora_weights()
        # Float32, where diffusers multiplies the matrices by the scale first.
        np.testing.assert_allclose(found, expected, atol=1e-4)
        return found, plain

    return run


def test_diffusers(build: Callable[..., Any], loaded: Callable[..., Any]) -> None:
    networks = {"transformer": build(FluxPipeline).transformer}
    tensors = random_lora(networks, layers=LAYERS)
    found, plain = loaded(tensors)
    assert np.abs(found - plain).max() > 1e-2
    less, _ = loaded(tensors, joint_attention_kwargs={"scale": 0.2})
    assert np.abs(less - plain).max() < np.abs(found - plain).max()


@pytest.mark.parametrize(
    ("make", "shapes"), [(scripts, SCRIPTS), (processors, PROCESSORS)], ids=["scripts", "xlabs"]
)
def test_other_programs(
    loaded: Callable[..., Any], make: Callable[..., Any], shapes: dict[str, Any]
) -> None:
    found, plain = loaded(layers(make, shapes))
    assert np.abs(found - plain).max() > 1e-2
