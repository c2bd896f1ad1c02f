"""Image prompts together with LoRAs and perturbed attention against diffusers and peft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ..conftest import Adapters, picture, save

diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("first", ["lora", "image"])
def test_with_a_lora_of_the_same_layers(
    first: str, build: Any, reference: Any, compare: Any, unets: Any, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    pytest.importorskip("autopipe_lora")
    unet = unets["stable_diffusion"]
    source = torch.Generator().manual_seed(3)
    lora: dict[str, torch.Tensor] = {}
    for path, layer in unet.named_modules():
        if path.endswith(("attn2.to_q", "attn2.to_k", "attn2.to_out.0", "attn1.to_v")):
            down = torch.randn(2, layer.in_features, generator=source) * 0.3
            up = torch.randn(layer.out_features, 2, generator=source) * 0.3
            lora |= {f"unet.{path}.lora_A.weight": down, f"unet.{path}.lora_B.weight": up}
    file = save(Adapters().file("plus", unet), tmp_path / "ip-adapter.bin")
    ours = build("StableDiffusionPipeline")
    theirs = reference(ours)

    def load(kind: str) -> None:
        for pipe in (ours, theirs):
            if kind == "lora":
                pipe.load_lora_weights(dict(lora))
            else:
                pipe.load_ip_adapter(str(tmp_path), "", file.name, image_encoder_folder=None)

    load(first)
    load("image" if first == "lora" else "lora")
    both = compare(ours, theirs, ip_adapter_image=picture(1))
    for pipe in (ours, theirs):
        pipe.set_ip_adapter_scale(0.0)
    alone = compare(ours, theirs, ip_adapter_image=picture(1))
    assert np.abs(both - alone).max() > 0.01


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize("kind", ["plain", "plus"])
def test_with_perturbed_attention(
    kind: str,
    guidance: float,
    build: Any,
    reference: Any,
    compare: Any,
    unets: Any,
    tmp_path: Path,
) -> None:
    pytest.importorskip("autopipe_pag")
    file = save(Adapters().file(kind, unets["stable_diffusion"]), tmp_path / "ip-adapter.bin")
    ours = build("StableDiffusionPAGPipeline")
    theirs = reference(ours)
    for pipe in (ours, theirs):
        pipe.load_ip_adapter(str(tmp_path), "", file.name, image_encoder_folder=None)
    call = {"ip_adapter_image": picture(1), "guidance_scale": guidance}
    found = [compare(ours, theirs, pag_scale=scale, **call) for scale in (0.0, 3.0)]
    assert np.abs(found[0] - found[1]).max() > 0.001
