"""The network against that of diffusers: names of weights, predictions, and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe import FluxTransformer2DModel

pytestmark = pytest.mark.parity

PUBLISHED: dict[str, Any] = {
    "attention_head_dim": 128,
    "axes_dims_rope": [16, 56, 56],
    "guidance_embeds": True,
    "in_channels": 64,
    "joint_attention_dim": 4096,
    "num_attention_heads": 24,
    "num_layers": 19,
    "num_single_layers": 38,
    "patch_size": 1,
    "pooled_projection_dim": 768,
}
"""The config of FLUX.1-dev."""


@pytest.mark.parametrize("guided", [True, False], ids=["dev", "schnell"])
def test_published_checkpoints_have_the_same_weights(guided: bool) -> None:
    import diffusers

    config = {**PUBLISHED, "guidance_embeds": guided}
    with torch.device("meta"):
        ours = FluxTransformer2DModel.from_config(config).state_dict()
        theirs = diffusers.FluxTransformer2DModel.from_config(config).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    assert sum(one.numel() for one in ours.values()) > 11e9


def inputs(batch: int = 2, rows: int = 3, columns: int = 2, told: int = 5) -> dict[str, Any]:
    source = torch.Generator().manual_seed(0)
    grid = torch.cartesian_prod(*(torch.arange(float(count)) for count in (1, rows, columns)))
    return {
        "hidden_states": torch.randn(batch, rows * columns, 16, generator=source),
        "encoder_hidden_states": torch.randn(batch, told, 24, generator=source),
        "pooled_projections": torch.randn(batch, 16, generator=source),
        "timestep": torch.tensor([0.7] * batch),
        "guidance": torch.tensor([3.5] * batch),
        "img_ids": grid,
        "txt_ids": torch.zeros(told, 3),
    }


def residuals(count: int) -> list[torch.Tensor]:
    source = torch.Generator().manual_seed(1)
    return [torch.randn(2, 6, 16, generator=source) for _ in range(count)]


@pytest.mark.parametrize(
    "further",
    [
        {},
        {"img_ids": torch.rand(1, 6, 3) * 900, "txt_ids": torch.ones(1, 5, 3)},
        {"controlnet_block_samples": residuals(1), "controlnet_single_block_samples": residuals(2)},
        {"controlnet_block_samples": residuals(2), "controlnet_blocks_repeat": True},
        {"joint_attention_kwargs": {}},
    ],
    ids=lambda further: ",".join(further) or "plain",
)
def test_predictions(
    transformer: Callable[..., Any], twin: Callable[[Any], Any], further: dict[str, Any]
) -> None:
    ours = transformer()
    given = {**inputs(), **further}
    with torch.no_grad():
        found, expected = (one(**given, return_dict=False)[0] for one in (ours, twin(ours)))
        # Float32, products of other shapes: text and image are one sequence in all single blocks.
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
        changed = ours(**{**given, "guidance": given["guidance"] * 9}).sample
    assert not torch.allclose(found, changed, atol=1e-3)


def test_half_precision(transformer: Callable[..., Any], twin: Callable[[Any], Any]) -> None:
    ours = transformer()
    theirs = twin(ours)
    given = {
        name: one if "ids" in name else one.to(torch.bfloat16) for name, one in inputs().items()
    }
    with torch.no_grad():
        found = ours.to(torch.bfloat16)(**given).sample
        expected = theirs.to(torch.bfloat16)(**given).sample
    ours.float(), theirs.float()
    # bfloat16 has eight bits.
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0)


def test_checkpoints_go_both_ways(
    transformer: Callable[..., Any], twin: Callable[[Any], Any], tmp_path: Path
) -> None:
    ours = transformer()
    theirs = twin(ours)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    again = type(theirs).from_pretrained(tmp_path / "ours")
    back = FluxTransformer2DModel.from_pretrained(tmp_path / "theirs")
    for one, other in ((again, theirs), (back, ours)):
        assert all(torch.equal(one.state_dict()[k], v) for k, v in other.state_dict().items())
    given = inputs()
    with torch.no_grad():
        assert torch.equal(back(**given).sample, ours(**given).sample)


def test_processors_for_diffusers_work(transformer: Callable[..., Any]) -> None:
    from diffusers.models.transformers.transformer_flux import FluxAttnProcessor

    ours, given = transformer(), inputs()
    with torch.no_grad():
        plain = ours(**given).sample
        ours.set_attn_processor(FluxAttnProcessor())
        found = ours(**given).sample
        ours.set_default_attn_processor()
    # The same products, in another layout.
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=0)
