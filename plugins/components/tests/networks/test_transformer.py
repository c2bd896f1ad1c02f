from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autopipe.errors import ConfigError
from autopipe_components.networks.conditioning import Conditioning
from autopipe_components.networks.transformer import (
    GEGLU,
    BasicTransformerBlock,
    FeedForward,
    Transformer2DModel,
    TransformerOptions,
)

OPTIONS = TransformerOptions(depths=(2,), heads=2, context_dim=5, groups=4)


def conditions(batch: int = 1) -> Conditioning:
    return Conditioning(time=torch.zeros(batch, 1), context=torch.randn(batch, 3, 5))


def test_the_second_half_of_the_projection_gates_the_first() -> None:
    layer = GEGLU(2, 2)
    nn.init.zeros_(layer.proj.weight)
    with torch.no_grad():
        layer.proj.bias.copy_(torch.tensor([3.0, -2.0, 10.0, -10.0]))
    # GELU is the identity at 10 and zero at -10.
    torch.testing.assert_close(layer(torch.zeros(1, 2)), torch.tensor([[30.0, 0.0]]))


@pytest.mark.parametrize(("name", "how"), [("gelu", "none"), ("gelu-approximate", "tanh")])
def test_a_feed_forward_layer_applies_the_activation_that_its_config_names(
    name: str, how: str
) -> None:
    layer = FeedForward(3, activation_fn=name)
    x = torch.randn(2, 3)
    widen, _, narrow = layer.net
    expected = narrow(F.gelu(widen.proj(x), approximate=how))
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=0)


def test_the_approximate_geglu_has_no_gate() -> None:
    layer = FeedForward(3, activation_fn="geglu-approximate")
    x = torch.randn(2, 3)
    widen, _, narrow = layer.net
    hidden = widen.proj(x)
    assert hidden.shape == (2, 12)
    torch.testing.assert_close(layer(x), narrow(hidden * torch.sigmoid(1.702 * hidden)))


def test_an_activation_that_feed_forward_layers_lack_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"activation_fn is 'gelu-aproximate'.*Did you mean"):
        FeedForward(3, activation_fn="gelu-aproximate")


@pytest.mark.parametrize("linear", [False, True])
def test_a_transformer_is_added_to_its_input(linear: bool) -> None:
    layer = Transformer2DModel(8, 2, replace(OPTIONS, linear_projection=linear))
    x, cond = torch.randn(2, 8, 3, 4), conditions(2)
    assert not torch.equal(layer(x, cond), x)
    for parameter in layer.proj_out.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(layer(x, cond), x)


def test_linear_and_convolutional_projections_are_one_thing_in_two_shapes() -> None:
    torch.manual_seed(0)
    linear = Transformer2DModel(8, 1, replace(OPTIONS, linear_projection=True))
    convolution = Transformer2DModel(8, 1, OPTIONS)
    state = linear.state_dict()
    for name in ("proj_in.weight", "proj_out.weight"):
        state[name] = state[name][:, :, None, None]
    convolution.load_state_dict(state)
    x, cond = torch.randn(2, 8, 3, 4), conditions(2)
    torch.testing.assert_close(convolution(x, cond), linear(x, cond))


def test_pixels_see_each_other_only_with_self_attention() -> None:
    torch.manual_seed(0)
    cond = conditions()
    tokens = torch.randn(1, 4, 8)
    other = tokens.clone()
    other[:, 3] *= -1  # The norm would take a constant away.
    for only_cross, seen in ((False, True), (True, False)):
        block = BasicTransformerBlock(8, replace(OPTIONS, only_cross_attention=only_cross))
        changed = not torch.equal(block(tokens, cond)[:, 0], block(other, cond)[:, 0])
        assert changed is seen
