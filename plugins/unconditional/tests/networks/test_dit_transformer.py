from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny import seeded

from autopipe.errors import ArgumentError, ConfigError
from autopipe_unconditional.networks.dit_transformer import DiTTransformer2DModel

CONFIG: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 4,
    "num_layers": 2,
    "sample_size": 4,
    "num_embeds_ada_norm": 3,
}
NOISE = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
NONE = torch.tensor([3, 3])


@pytest.fixture(scope="module")
def network() -> Any:
    return seeded(lambda: DiTTransformer2DModel(**CONFIG))


def test_time_and_class_act(network: Any) -> None:
    made = [
        network(NOISE, *given).sample for given in ((1, NONE), (1, torch.tensor([0, 3])), (9, NONE))
    ]
    assert torch.equal(made[0][1], made[1][1])
    assert not torch.allclose(made[0][0], made[1][0])
    assert not torch.allclose(made[0], made[2])


def test_timesteps_may_differ_in_a_batch(network: Any) -> None:
    together = network(NOISE, torch.tensor([1, 9]), NONE).sample
    for row, timestep in enumerate((1, 9)):
        alone = network(NOISE[row : row + 1], timestep, NONE[:1]).sample
        torch.testing.assert_close(together[row : row + 1], alone)


def test_latents_need_not_be_square(network: Any) -> None:
    """Their columns and rows aren't mixed up: a transposed input isn't a transposed output."""
    wide = torch.randn(1, 4, 4, 8)
    made = network(wide, 1, NONE[:1]).sample
    assert made.shape == wide.shape
    assert not torch.allclose(network(wide.mT, 1, NONE[:1]).sample.mT, made)


def test_a_tenth_of_the_labels_is_dropped_in_training_only() -> None:
    """With every label dropped, the class doesn't act."""
    network = seeded(lambda: DiTTransformer2DModel(**CONFIG))
    many, labels = NOISE[:1].expand(300, -1, -1, -1), torch.zeros(300, dtype=torch.long)
    dropped = network(NOISE[:1], 1, NONE[:1]).sample
    assert not torch.isclose(network(many, 1, labels).sample, dropped).flatten(1).all(1).any()
    network.train()
    torch.manual_seed(0)
    share = torch.isclose(network(many, 1, labels).sample, dropped, atol=1e-6).flatten(1).all(1)
    assert 0.03 < share.float().mean() < 0.2


def test_checkpointing_gives_the_same_gradients() -> None:
    network = seeded(lambda: DiTTransformer2DModel(**CONFIG)).requires_grad_(True)
    gradients = []
    for switch in (network.disable_gradient_checkpointing, network.enable_gradient_checkpointing):
        switch()
        network.zero_grad()
        network(NOISE, 1, NONE).sample.square().sum().backward()
        gradients.append([one.grad.clone() for one in network.parameters() if one.grad is not None])
    assert len(gradients[0]) > 20
    assert all(map(torch.equal, *gradients))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"norm_type": "ada_norm_single"}, "norm_type is 'ada_norm_single'"),
        ({"num_embeds_ada_norm": None}, "give the number of classes"),
        ({"sample_size": 5}, "divisible by patch_size, 2"),
        ({"attention_head_dim": 3}, "must be divisible by 4"),
        ({"sample_size": 1 << 16}, "positions of 32768 x 32768 patches"),
        ({"activation_fn": "silly"}, "activation_fn is 'silly'"),
    ],
)
def test_configs_that_do_not_work(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        DiTTransformer2DModel(**{**CONFIG, **change})


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_states": torch.ones(2, 3, 4, 4)},
        {"hidden_states": torch.ones(2, 4, 4, 5)},
        {"hidden_states": None},
        {"timestep": None},
        {"timestep": torch.ones(3)},
        {"class_labels": None},
        {"class_labels": torch.zeros(3, dtype=torch.long)},
        {"class_labels": torch.zeros(2)},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_inputs_that_do_not_fit(network: Any, wrong: dict[str, Any]) -> None:
    fit = {"hidden_states": NOISE, "timestep": 1, "class_labels": NONE}
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        network(**{**fit, **wrong})
