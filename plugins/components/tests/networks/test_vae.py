"""The layout in memory with which encoders and decoders compute on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autopipe_components.networks import vae
from autopipe_components.networks.vq_model import VQModel

BOTH = ("with plain norms", "with spatial norms")


@pytest.fixture(params=BOTH)
def model(request: pytest.FixtureRequest, make_vae: Callable[..., Any]) -> Any:
    if request.param == BOTH[0]:
        return make_vae()
    torch.manual_seed(0)
    made = VQModel(
        block_out_channels=(32, 32),
        down_block_types=("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
        up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        num_vq_embeddings=12,
        norm_type="spatial",
    )
    return made.eval()


def _latents(encoded: Any) -> Tensor:
    found: Tensor = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mean
    return found


def _is_last(tensor: Tensor) -> bool:
    return tensor.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_convolutions_find_their_channels_last(model: Any, draw: Callable[..., Tensor]) -> None:
    found: dict[str, bool] = {}
    for part in ("encoder", "decoder"):
        for name, module in getattr(model, part).named_modules(prefix=part):
            if isinstance(module, nn.Conv2d):
                module.register_forward_pre_hook(
                    lambda module, inputs, name=name: found.update({name: _is_last(inputs[0])})
                )
    before = {name: tensor.stride() for name, tensor in model.state_dict().items()}
    pixels = draw(2, 3, 16, 24)
    encoded = model.encoder(pixels)
    images = model.decode(_latents(model.encode(pixels))).sample
    assert found
    assert all(found.values()), [name for name, is_last in found.items() if not is_last]
    assert encoded.is_contiguous()
    assert images.is_contiguous()
    assert {name: tensor.stride() for name, tensor in model.state_dict().items()} == before


@torch.no_grad()
def test_the_layout_changes_rounding_alone(
    model: Any, draw: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, latents = draw(1, 3, 16, 24), draw(1, 4, 8, 12)
    found = _latents(model.encode(pixels)), model.decode(latents).sample
    monkeypatch.setattr(vae, "in_fast_layout", lambda batch: batch)
    expected = _latents(model.encode(pixels)), model.decode(latents).sample
    for one, other in zip(found, expected, strict=True):
        # Sums of some hundred products in another order.
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
