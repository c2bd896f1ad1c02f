from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny import seeded

from autopipe.errors import ArgumentError, ConfigError
from autopipe_unconditional.networks.unet_1d import UNet1DModel

from ..small import TRAJECTORY, VALUE, WAVE


@pytest.fixture(scope="module")
def network() -> Any:
    return seeded(lambda: UNet1DModel(**WAVE))


@pytest.mark.parametrize("length", [12, 24, 28])
def test_any_length_that_fits_is_kept(network: Any, length: int) -> None:
    assert (network.length_multiple, network.shortest) == (4, 12)
    sound = torch.randn(2, 2, length)
    made = network(sound, torch.tensor([0.2, 0.7])).sample
    assert made.shape == sound.shape
    alone = network(sound[1:], 0.7).sample
    torch.testing.assert_close(made[1:], alone)
    assert not torch.allclose(network(sound[1:], 0.2).sample, alone)


def test_the_time_of_published_waveforms_is_as_wide_as_their_further_channels() -> None:
    """Their configs don't tell the width, and diffusers takes another one, which doesn't fit."""
    config = {name: value for name, value in WAVE.items() if name != "time_embedding_dim"}
    assert UNet1DModel(**config).time_proj.weight.shape == (8,)


def test_a_value_function_makes_one_number() -> None:
    network = seeded(lambda: UNet1DModel(**VALUE))
    given = torch.randn(3, 8, 16)
    made = network(given, torch.tensor([1, 2, 3])).sample
    assert made.shape == (3, 1)
    torch.testing.assert_close(network(given[1:2], 2).sample, made[1:2])
    assert network(given[:, :, :11], 1).sample.shape == (3, 1)
    with pytest.raises(ArgumentError, match="2 steps are left"):
        network(torch.randn(3, 8, 32), 1)


@pytest.mark.parametrize(
    ("base", "change", "said"),
    [
        (WAVE, {"down_block_types": ("DownBlock1D",)}, "1 values .* but block_out_channels 2"),
        (WAVE, {"up_block_types": ("UpBlock1D",) * 3}, "up_block_types has 3 values"),
        (WAVE, {"down_block_types": ("DownBlock1D", "DownBlock1DNoSkip")}, "after the first"),
        (WAVE, {"down_block_types": ("DownBlock1DNoSkip", "Down1D")}, "asks for 'Down1D'"),
        (WAVE, {"extra_in_channels": 4}, "appends the 16 channels"),
        (WAVE, {"up_block_types": ("UpBlock1DNoSkip", "UpBlock1D")}, "changes of length"),
        (WAVE, {"mid_block_type": "MidResTemporalBlock1D"}, "use_timestep_embedding is False"),
        (WAVE, {"use_timestep_embedding": True, "act_fn": "silu"}, "takes the time without it"),
        (WAVE, {"block_out_channels": (32, 40)}, None),
        (WAVE, {"block_out_channels": (32, 65)}, "65 in a block with attention"),
        (WAVE, {"block_out_channels": (32, 8)}, "8 in a block with attention"),
        (WAVE, {"time_embedding_dim": 15}, "need an even one"),
        (WAVE, {"time_embedding_type": "learnt"}, "time_embedding_type is 'learnt'"),
        (WAVE, {"out_block_type": "Out"}, "out_block_type is 'Out'"),
        (TRAJECTORY, {"act_fn": None}, "act_fn is None"),
        (TRAJECTORY, {"norm_num_groups": 3}, "norm_num_groups is 3"),
        (TRAJECTORY, {"block_out_channels": (8, 12)}, "12 in a residual block"),
        (TRAJECTORY, {"downsample_each_block": True}, "changes of length"),
        (TRAJECTORY, {"up_block_types": ()}, "the last one must equal it"),
        (VALUE, {"out_block_type": None}, "make a value function together"),
    ],
)
def test_configs(base: dict[str, Any], change: dict[str, Any], said: str | None) -> None:
    if said is None:
        UNet1DModel(**{**base, **change})
        return
    with pytest.raises(ConfigError, match=said):
        UNet1DModel(**{**base, **change})


@pytest.mark.parametrize("shape", [(1, 3, 24), (1, 2, 26), (1, 2, 8), (2, 24)])
def test_samples_that_do_not_fit(network: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match=r"\(B, 2, L\), where L is at least 12 and divisible"):
        network(torch.ones(shape), 0.5)
