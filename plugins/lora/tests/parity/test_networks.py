"""Networks with adapters of peft: training as public scripts do it, and the files it gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.loras import ATTENTION, EVERY, random_lora
from torch import Tensor

from autopipe.errors import ArgumentError

from ..conftest import draw
from .conftest import Pair, assert_same

diffusers = pytest.importorskip("diffusers")
peft = pytest.importorskip("peft")

pytestmark = pytest.mark.parity

SD = "StableDiffusionPipeline"
TARGETS = ["to_k", "to_q", "to_v", "to_out.0"]


def trained(pipe: Any) -> dict[str, Tensor]:
    """Train a LoRA of the U-Net for three steps, and return its state dict."""
    random = torch.Generator().manual_seed(1)
    unet = pipe.unet
    unet.requires_grad_(False)
    config = peft.LoraConfig(
        r=4, lora_alpha=8, init_lora_weights="gaussian", target_modules=TARGETS
    )
    unet.add_adapter(config)
    layers = {name: one for name, one in unet.named_parameters() if one.requires_grad}
    for name in sorted(layers):
        # The libraries list their modules, and so draw initial values, in different orders.
        layers[name].data.normal_(std=0.1, generator=random)
    optimizer = torch.optim.SGD(layers.values(), lr=0.1)
    for _ in range(3):
        noisy = torch.randn(2, 4, 8, 8, generator=random)
        text = torch.randn(2, 12, 16, generator=random)
        predicted = unet(noisy, torch.tensor([3, 500]), text).sample
        torch.nn.functional.mse_loss(predicted, noisy).backward()
        optimizer.step()
        optimizer.zero_grad()
    state: dict[str, Tensor] = peft.get_peft_model_state_dict(unet)
    return state


def test_training_gives_the_same_file(pair: Callable[..., Pair], tmp_path: Path) -> None:
    two = pair(SD)
    plain = draw(two[0])
    states = [trained(pipe) for pipe in two]
    assert states[0].keys() == states[1].keys()
    for name, one in states[0].items():
        # Rounding of float32 in gradients, over three steps.
        assert torch.allclose(one, states[1][name], atol=1e-5), name
    validated = [draw(pipe) for pipe in two]
    assert_same(*validated)
    assert np.abs(validated[0] - plain).max() > 1e-3
    for number, pipe in enumerate(two):
        convert = diffusers.utils.convert_state_dict_to_diffusers
        folder = tmp_path / str(number)
        type(pipe).save_lora_weights(
            folder,
            unet_lora_layers=convert(states[0]),
            unet_lora_adapter_metadata={"r": 4, "lora_alpha": 8, "target_modules": TARGETS},
        )
        again = pair(SD)
        for other in again:
            other.load_lora_weights(folder)
            assert_same(draw(other), validated[0])


@pytest.mark.parametrize("layers", [ATTENTION, EVERY])
@pytest.mark.parametrize("prefix", ["unet", None])
def test_load_and_save_lora_adapter(
    pair: Callable[..., Pair], prefix: str | None, layers: tuple[str, ...], tmp_path: Path
) -> None:
    two = pair(SD)
    plain = draw(two[0])
    given = random_lora({"unet": two[0].unet}, layers=layers)
    if prefix is None:
        given = {key.removeprefix("unet."): one for key, one in given.items()}
    for number, pipe in enumerate(two):
        pipe.unet.load_lora_adapter(dict(given), prefix=prefix, adapter_name="ink")
        pipe.unet.save_lora_adapter(tmp_path / str(number), adapter_name="ink")
    drawn = draw(two[0])
    assert np.abs(drawn - plain).max() > 0.01
    assert_same(drawn, draw(two[1]))
    for weights in (0.5, {"mid": 0.2, "down": 0.7}):
        for pipe in two:
            pipe.unet.set_adapters("ink", weights)
        assert_same(*(draw(pipe) for pipe in two))
    for pipe in two:
        assert pipe.unet.active_adapters() == ["ink"]
        pipe.unet.disable_adapters()
        assert_same(draw(pipe), plain)
        pipe.unet.enable_adapters()
        pipe.unet.delete_adapters("ink")
        assert_same(draw(pipe), plain)
        pipe.unet.load_lora_adapter(tmp_path / "0", prefix=None, weight_name=FILE)
        assert_same(draw(pipe), drawn)
        pipe.unet.delete_adapters("default_0")
        pipe.unet.load_lora_adapter(tmp_path / "1", prefix=None, weight_name=FILE)
        assert_same(draw(pipe), drawn)


FILE = "pytorch_lora_weights.safetensors"


def test_fused_into_the_network_and_unloaded(pair: Callable[..., Pair]) -> None:
    two = pair(SD)
    plain = draw(two[0])
    given = random_lora({"unet": two[0].unet}, layers=EVERY)
    keys = set(two[0].unet.state_dict())
    for pipe in two:
        pipe.unet.load_lora_adapter(dict(given), prefix="unet")
    acting = draw(two[0])
    for pipe in two:
        pipe.unet.fuse_lora()
        assert_same(draw(pipe), acting)
        pipe.unet.unfuse_lora()
        pipe.unet.disable_lora()
        assert_same(draw(pipe), plain)
        pipe.unet.enable_lora()
        pipe.unet.fuse_lora(0.5, safe_fusing=True)
        pipe.unet.unload_lora()
    assert_same(*(draw(pipe) for pipe in two))
    assert np.abs(draw(two[0]) - plain).max() > 1e-3
    assert set(two[0].unet.state_dict()) == keys
    assert not hasattr(two[0].unet, "peft_config")


def test_dora_and_biases_are_kept(pair: Callable[..., Pair]) -> None:
    ours, _ = pair(SD)
    given = random_lora({"unet": ours.unet}, dora=True, layers=EVERY)
    ours.load_lora_weights(dict(given))
    attached = draw(ours)
    ours.unload_lora_weights()
    ours.unet.load_lora_adapter(given, prefix="unet")
    assert_same(draw(ours), attached)


def test_an_adapter_is_of_the_network_itself(pair: Callable[..., Pair]) -> None:
    ours, _ = pair(SD)
    given = random_lora({"unet": ours.unet})
    ours.load_lora_weights(dict(given))
    with pytest.raises(ArgumentError, match="attachments change"):
        ours.unet.add_adapter(peft.LoraConfig(target_modules=TARGETS))
    ours.set_attachments({})
    ours.unet.add_adapter(peft.LoraConfig(target_modules=TARGETS), "ink")
    with pytest.raises(ArgumentError, match="already"):
        ours.unet.add_adapter(peft.LoraConfig(target_modules=TARGETS), "ink")
    view = type(ours).from_pipe(ours)
    assert view.unet.active_adapters() == ["ink"]
    # Both at once: what is attached changes the output of the adapted layer.
    ours.set_adapters("default_0")
    acting = draw(ours)
    ours.set_attachments({})
    assert np.abs(draw(ours) - acting).max() > 0.01
    with pytest.raises(ArgumentError, match="wraps"):
        ours.fuse_lora(adapter_names=["default_0"])
