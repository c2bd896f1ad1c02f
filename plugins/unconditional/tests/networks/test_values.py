"""Every value that the config of a network can hold: it works, or is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.config_values import check_network_values

from autopipe_unconditional.networks.dit_transformer import DiTTransformer2DModel
from autopipe_unconditional.networks.unet_1d import UNet1DModel

from ..small import DIT, TRAJECTORY, WAVE

MORE: list[Any] = [2, 7, ["x", "x"], [10**9] * 2, [-1, -1], [8], [8, 8, 8], [None, None], [9, 17]]
BLOCKS: list[Any] = [["DownBlock1D"] * 2, ["UpBlock1D"] * 2, ["UpResnetBlock1D"], "ValueFunction"]


def use(network: Any) -> None:
    network.eval()
    if isinstance(network, UNet1DModel):
        length = 12 * network.length_multiple
        network(torch.ones(1, network.sample_channels, length), 1)
    else:
        side, label = 2 * network.config.patch_size, torch.zeros(1, dtype=torch.long)
        network(torch.ones(1, network.config.in_channels, side, side), 1, label)


@pytest.mark.parametrize(
    ("cls", "base"),
    [(DiTTransformer2DModel, DIT), (UNet1DModel, WAVE), (UNet1DModel, TRAJECTORY)],
    ids=["dit", "waveforms", "trajectories"],
)
def test_values_of_a_config(cls: Any, base: dict[str, Any]) -> None:
    with torch.no_grad():
        check_network_values(cls, base, use, [*MORE, *BLOCKS])
