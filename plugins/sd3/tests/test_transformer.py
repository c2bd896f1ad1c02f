from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.config_values import check_network_values
from support.tiny import seeded

from autopipe import SD3Transformer2DModel
from autopipe.errors import ArgumentError, ConfigError

from .small import TRANSFORMER

SOURCE = torch.Generator().manual_seed(0)
GIVEN: dict[str, Any] = {
    "hidden_states": torch.randn(2, 16, 8, 12, generator=SOURCE),
    "encoder_hidden_states": torch.randn(
        2, 5, TRANSFORMER["joint_attention_dim"], generator=SOURCE
    ),
    "pooled_projections": torch.randn(2, TRANSFORMER["pooled_projection_dim"], generator=SOURCE),
    "timestep": torch.tensor([700.0, 3.0]),
}


@pytest.fixture
def network(transformers: Callable[..., Any]) -> Any:
    return transformers()


def test_every_input_acts(network: Any) -> None:
    made = network(**GIVEN).sample
    assert made.shape == GIVEN["hidden_states"].shape
    for name, value in GIVEN.items():
        changed = network(**{**GIVEN, name: value.flip(-1)}).sample
        assert not torch.allclose(changed, made, atol=1e-4), name


def test_samples_of_a_batch_do_not_mix(network: Any) -> None:
    together = network(**GIVEN).sample
    alone = network(**{name: value[1:] for name, value in GIVEN.items()}).sample
    # Float32 sums of a batch of another size.
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=0)


def test_skipped_layers_are_not_run(network: Any) -> None:
    """Without any layer, the prompt's tokens don't act."""
    every = [*range(TRANSFORMER["num_layers"])]
    other = {**GIVEN, "encoder_hidden_states": GIVEN["encoder_hidden_states"] + 1}
    left = [network(**given, skip_layers=every).sample for given in (GIVEN, other)]
    assert torch.equal(*left)
    assert not torch.equal(network(**GIVEN, skip_layers=[1]).sample, network(**GIVEN).sample)


def test_processors_of_the_user_see_every_layer(network: Any) -> None:
    seen = []

    def processor(
        attn: Any, hidden_states: Any, encoder_hidden_states: Any = None, **_: Any
    ) -> Any:
        seen.append(encoder_hidden_states is None)
        return attn.compute(hidden_states, encoder_hidden_states)

    expected = network(**GIVEN).sample
    network.set_attn_processor(processor)
    try:
        assert torch.equal(network(**GIVEN).sample, expected)
    finally:
        network.set_default_attn_processor()
    assert seen == [False, True, False, False]


def test_checkpointing_gives_the_same_gradients() -> None:
    network = seeded(lambda: SD3Transformer2DModel(**TRANSFORMER)).requires_grad_(True)
    gradients = []
    for switch in (network.disable_gradient_checkpointing, network.enable_gradient_checkpointing):
        switch()
        network.zero_grad()
        network(**GIVEN).sample.square().sum().backward()
        gradients.append([one.grad.clone() for one in network.parameters() if one.grad is not None])
    assert len(gradients[0]) > 40
    assert all(map(torch.equal, *gradients))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"qk_norm": "layer_norm"}, "qk_norm is 'layer_norm'"),
        ({"caption_projection_dim": 17}, "caption_projection_dim is 17"),
        ({"sample_size": 5}, "divisible by patch_size, 2"),
        ({"pos_embed_max_size": 10**6}, "pos_embed_max_size"),
        ({"dual_attention_layers": [-1]}, "dual_attention_layers"),
        ({"num_layers": 10**6}, "num_layers"),
    ],
)
def test_configs_that_do_not_work(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SD3Transformer2DModel(**{**TRANSFORMER, **change})


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden_states": torch.ones(2, 3, 8, 8)},
        {"hidden_states": torch.ones(2, 16, 8, 9)},
        {"hidden_states": None},
        {"encoder_hidden_states": None},
        {"encoder_hidden_states": torch.ones(2, 5, 3)},
        {"pooled_projections": None},
        {"pooled_projections": torch.ones(1, 20)},
        {"timestep": torch.ones(3)},
        {"block_controlnet_hidden_states": 5},
        {"skip_layers": 5},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_inputs_that_do_not_fit(network: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        network(**{**GIVEN, **wrong})


def test_an_image_without_positions_is_refused(network: Any) -> None:
    with pytest.raises(ArgumentError, match="positions for 8 x 8"):
        network(**{**GIVEN, "hidden_states": torch.ones(2, 16, 8, 18)})


def use(network: Any) -> None:
    config, side = network.config, 2 * network.config.patch_size
    if network.config.pos_embed_max_size < 2:
        side = network.config.patch_size
    network.eval()(
        torch.ones(1, config.in_channels, side, side),
        torch.ones(1, 2, config.joint_attention_dim),
        torch.ones(1, config.pooled_projection_dim),
        1,
    )


def test_values_of_a_config() -> None:
    more: list[Any] = [2, 7, [10**9] * 2, [-1, -1], [8], [0, 0, 1], [None, None], ["x"]]
    with torch.no_grad():
        check_network_values(SD3Transformer2DModel, TRANSFORMER, use, more)
