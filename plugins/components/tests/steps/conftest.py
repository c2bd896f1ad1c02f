from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor


@dataclass(frozen=True)
class NoisyCodec:
    """Means over cells of 4 x 4 pixels, with a fourth channel and noise of its own."""

    factor: int = 4
    channels: int = 4

    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        means = torch.nn.functional.avg_pool2d(image, self.factor)
        latents = torch.cat([means, means[:, :1]], dim=1)
        return latents + 0.1 * torch.randn(latents.shape, generator=generator)

    def decode(self, latents: Tensor) -> Tensor:
        return latents[:, :3].repeat_interleave(4, 2).repeat_interleave(4, 3)


class LinearScheduler:
    """Ten levels of noise, from 900 down to 0, mixed in linearly."""

    order = 1
    init_noise_sigma = 2.0
    config = {"num_train_timesteps": 1000}  # noqa: RUF012

    def __init__(self) -> None:
        self.timesteps = torch.arange(9, -1, -1) * 100
        self.begin = 0

    def set_begin_index(self, index: int) -> None:
        self.begin = index

    def set_timesteps(self, num_inference_steps, device=None):
        self.timesteps = torch.linspace(900, 0, num_inference_steps, device=device).round().long()

    def add_noise(self, samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        level = (timesteps / 1000).view(-1, 1, 1, 1)
        return (1 - level) * samples + level * noise


@pytest.fixture
def codec() -> NoisyCodec:
    return NoisyCodec()


@pytest.fixture
def scheduler() -> LinearScheduler:
    return LinearScheduler()
