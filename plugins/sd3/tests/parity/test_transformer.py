"""The transformer has the keys of diffusers, and predicts the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe import SD3Transformer2DModel

pytestmark = pytest.mark.parity

PUBLISHED: dict[str, dict[str, Any]] = {
    "3-medium": {"num_layers": 24, "num_attention_heads": 24, "pos_embed_max_size": 192},
    "3.5-medium": {
        "num_layers": 24,
        "num_attention_heads": 24,
        "pos_embed_max_size": 384,
        "qk_norm": "rms_norm",
        "dual_attention_layers": list(range(13)),
    },
    "3.5-large": {
        "num_layers": 38,
        "num_attention_heads": 38,
        "pos_embed_max_size": 192,
        "qk_norm": "rms_norm",
        "dual_attention_layers": [],
    },
}
"""What the published configs have in place of the defaults."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_of_published_checkpoints(name: str) -> None:
    import diffusers

    config = PUBLISHED[name]
    config = {**config, "caption_projection_dim": 64 * config["num_attention_heads"]}
    with torch.device("meta"):
        ours = SD3Transformer2DModel(**config).state_dict()
        theirs = diffusers.SD3Transformer2DModel(**config).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize("config", [{}, {"qk_norm": None, "dual_attention_layers": ()}])
def test_predictions(
    transformers: Callable[..., Any], twin: Callable[[Any], Any], config: dict[str, Any]
) -> None:
    ours = transformers(**config)
    source = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=source)

    config = ours.config
    given = {
        "hidden_states": noise(2, 16, 8, 12),
        "encoder_hidden_states": noise(2, 7, config.joint_attention_dim),
        "pooled_projections": noise(2, config.pooled_projection_dim),
        "timestep": torch.tensor([700.0, 3.0]),
    }
    added = [noise(2, 24, 16) for _ in range(2)]
    further: list[dict[str, Any]]
    further = [{}, {"skip_layers": [1, 2]}, {"block_controlnet_hidden_states": added}]
    found = []
    for call in further:
        with torch.no_grad():
            one, other = ours(**given, **call).sample, twin(ours)(**given, **call).sample
        # Float32, in which the tokens of both streams are summed in another order.
        torch.testing.assert_close(one, other, atol=2e-6, rtol=0)
        found.append(one)
    assert not any(torch.allclose(found[0], one, atol=1e-3) for one in found[1:])
