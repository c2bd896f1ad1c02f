from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny import WIDTH, seeded

from autopipe import Transformer2DModel
from autopipe.errors import ArgumentError, ConfigError

CONFIG: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 4,
    "num_layers": 2,
    "cross_attention_dim": WIDTH,
    "sample_size": 3,
    "num_vector_embeds": 7,
    "num_embeds_ada_norm": 5,
}
DRAW = torch.Generator().manual_seed(0)
CLASSES = torch.randint(0, 7, (2, 9), generator=DRAW)
TEXT = torch.randn(2, 6, WIDTH, generator=DRAW)


@pytest.fixture(scope="module")
def network() -> Any:
    return seeded(lambda: Transformer2DModel(**CONFIG))


def test_the_prediction_is_a_distribution_over_the_classes_but_the_mask(network: Any) -> None:
    made = network(CLASSES, TEXT, 1).sample
    assert made.shape == (2, 6, 9)
    torch.testing.assert_close(made.exp().sum(dim=1), torch.ones(2, 9))


def test_timesteps_may_differ_in_a_batch(network: Any) -> None:
    together = network(CLASSES, TEXT, torch.tensor([0, 4])).sample
    for row, timestep in enumerate((0, 4)):
        alone = network(CLASSES[row : row + 1], TEXT[row : row + 1], timestep).sample
        torch.testing.assert_close(together[row : row + 1], alone)
    assert not torch.allclose(together, network(CLASSES, TEXT, 0).sample)


def test_a_smaller_grid_has_the_places_of_the_upper_left_part(network: Any) -> None:
    """Without attention to each other, pixels are predicted by class and place alone."""
    alone = seeded(lambda: Transformer2DModel(**CONFIG))
    for block in alone.transformer_blocks:
        block.attn1.to_out[0].weight.data.zero_()
    whole = alone(CLASSES, TEXT, 1).sample.unflatten(2, (3, 3))
    part = CLASSES.unflatten(1, (3, 3))[:, :2, :].flatten(1)
    made = alone(part, TEXT, 1, grid=(2, 3)).sample.unflatten(2, (2, 3))
    torch.testing.assert_close(made, whole[:, :, :2, :])
    with pytest.raises(ArgumentError, match="places for 3 x 3"):
        network(CLASSES, TEXT, 1, grid=(1, 9))


def test_checkpointing_gives_the_same_gradients() -> None:
    network = seeded(lambda: Transformer2DModel(**CONFIG)).requires_grad_(True)
    gradients = []
    for switch in (network.disable_gradient_checkpointing, network.enable_gradient_checkpointing):
        switch()
        network.zero_grad()
        network(CLASSES, TEXT, 1).sample.square().sum().backward()
        gradients.append([one.grad.clone() for one in network.parameters() if one.grad is not None])
    assert len(gradients[0]) > 20
    assert all(map(torch.equal, *gradients))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_vector_embeds": None, "in_channels": 4, "patch_size": 2}, "DiTTransformer2DModel"),
        ({"cross_attention_dim": None}, "cross_attention_dim must be"),
        ({"num_embeds_ada_norm": None}, "num_embeds_ada_norm must be"),
        ({"patch_size": 2}, "patch_size is 2"),
        ({"norm_type": "ada_norm_zero"}, "norm_type is 'ada_norm_zero'"),
        ({"only_cross_attention": True}, "only_cross_attention is True"),
        ({"activation_fn": "silly"}, "activation_fn is 'silly'"),
        ({"num_vector_embeds": 1}, "num_vector_embeds"),
        ({"num_vector_embeds": 1 << 40}, "num_vector_embeds"),
        ({"num_embeds_ada_norm": 1 << 40}, "num_embeds_ada_norm"),
        ({"sample_size": 1 << 20}, "sample_size"),
        ({"num_layers": 1 << 20}, "num_layers"),
    ],
)
def test_configs_that_do_not_work(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Transformer2DModel(**{**CONFIG, **change})


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_states": CLASSES.float()},
        {"hidden_states": CLASSES[:, :4]},
        {"hidden_states": CLASSES[:0]},
        {"hidden_states": None},
        {"encoder_hidden_states": None},
        {"encoder_hidden_states": TEXT[:1]},
        {"timestep": None},
        {"timestep": torch.ones(3)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_inputs_that_do_not_fit(network: Any, wrong: dict[str, Any]) -> None:
    fit = {"hidden_states": CLASSES, "encoder_hidden_states": TEXT, "timestep": 1}
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        network(**{**fit, **wrong})
