"""What peft trains changes the same weights here, by the same amounts."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import torch
from torch import nn

from autopipe_lora.formats import read_lora

peft = pytest.importorskip("peft")

pytestmark = pytest.mark.parity

PATHS = ["tall", "wide", "kernel", "pointwise"]

# Products of a few float32 numbers, summed in another order.
TOLERANCE = 1e-5


class Network(nn.Module):
    """A module of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.tall = nn.Linear(8, 24)
        self.wide = nn.Linear(24, 8)
        self.kernel = nn.Conv2d(12, 8, 3)
        self.pointwise = nn.Conv2d(24, 8, 1)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("LoraConfig", {"r": 2, "lora_alpha": 3}),
        ("LoraConfig", {"r": 4, "lora_alpha": 3, "use_rslora": True}),
        ("LoraConfig", {"r": 2, "lora_alpha": 3, "use_dora": True}),
        ("LoraConfig", {"r": 2, "lora_alpha": 3, "lora_bias": True}),
        ("LoraConfig", {"r": 2, "lora_alpha": 3, "alpha_pattern": {"kernel": 5}}),
        ("LoraConfig", {"r": 2, "lora_alpha": 2, "rank_pattern": {"wide": 3}}),
        ("LoHaConfig", {"r": 2, "alpha": 2}),
        ("LoHaConfig", {"r": 2, "alpha": 2, "use_effective_conv2d": True}),
        ("LoHaConfig", {"r": 6, "alpha": 6}),
        ("LoKrConfig", {"r": 2, "alpha": 2}),
        ("LoKrConfig", {"r": 2, "alpha": 2, "decompose_both": True, "decompose_factor": 4}),
        ("LoKrConfig", {"r": 2, "alpha": 2, "use_effective_conv2d": True, "decompose_factor": 2}),
        ("LoKrConfig", {"r": 90, "alpha": 90}),
    ],
)
def test_what_peft_saves(kind: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = Network()
    config = getattr(peft, kind)(target_modules=PATHS, **options)
    model = peft.get_peft_model(copy.deepcopy(network), config)
    for name, parameter in model.named_parameters():
        if "base_layer" not in name:
            parameter.data.uniform_(0.1, 0.9)
    tensors = peft.get_peft_model_state_dict(model)
    settings = {k: v for k, v in config.to_dict().items() if not isinstance(v, set)}
    metadata = {"lora_adapter_metadata": json.dumps(settings, default=str)}
    file = read_lora(tensors, metadata if kind == "LoraConfig" else {}, {"unet": network})
    assert sorted(file.report.matched) == sorted(tensors)
    merged = model.merge_and_unload()
    for path in PATHS:
        ours, theirs = network.get_submodule(path), merged.get_submodule(path)
        layer = file.layers["unet"][path]
        change = layer.scale * (layer.up.flatten(1) @ layer.down.flatten(1))
        weight = ours.weight + change.reshape(ours.weight.shape)
        if layer.magnitude is not None:
            axes = [axis for axis, size in enumerate(layer.magnitude.shape) if size == 1]
            norm = weight.square().sum(axes, keepdim=True).sqrt()
            weight = weight * layer.magnitude / norm
        torch.testing.assert_close(weight, theirs.weight, atol=TOLERANCE, rtol=TOLERANCE)
        bias = ours.bias if layer.bias is None else ours.bias + layer.scale * layer.bias
        torch.testing.assert_close(bias, theirs.bias, atol=TOLERANCE, rtol=TOLERANCE)
