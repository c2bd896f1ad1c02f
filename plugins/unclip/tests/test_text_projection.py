from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe import UnCLIPTextProjModel
from autopipe.errors import ConfigError

SIZES: dict[str, Any] = {
    "clip_extra_context_tokens": 2,
    "clip_embeddings_dim": 4,
    "time_embed_dim": 8,
    "cross_attention_dim": 6,
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("value", [0, 1 << 40, "wide"])
def test_a_config_that_makes_no_network_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=name):
        UnCLIPTextProjModel(**{**SIZES, name: value})


def test_the_image_has_no_effect_on_the_half_that_guidance_leaves() -> None:
    torch.manual_seed(0)
    network, texts = UnCLIPTextProjModel(**SIZES), torch.randn(2, 5, 4)

    def projected(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found: tuple[torch.Tensor, torch.Tensor] = network(
            image_embeddings=image,
            prompt_embeds=texts[:, 0],
            text_encoder_hidden_states=texts,
            do_classifier_free_guidance=True,
        )
        return found

    (states, time), (others, later) = projected(torch.zeros(1, 4)), projected(torch.ones(1, 4))
    assert states.shape == (2, 7, 6)
    assert torch.equal(states[0], others[0])
    assert torch.equal(time[0], later[0])
    assert not torch.equal(states[1], others[1])
    assert not torch.equal(time[1], later[1])
