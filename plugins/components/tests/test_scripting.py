"""Functions that programs import by the names of diffusers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import autopipe
from autopipe import DDIMScheduler, EulerDiscreteScheduler
from autopipe.errors import ArgumentError, ArgumentTypeError, SchedulerError
from autopipe_components.networks.distributions import DiagonalGaussianDistribution

NAMES = ("randn_tensor", "rescale_noise_cfg", "retrieve_latents", "retrieve_timesteps")


def test_they_are_names_of_the_library() -> None:
    for name in NAMES:
        assert callable(getattr(autopipe, name))


def test_timesteps_are_set_and_counted() -> None:
    scheduler = EulerDiscreteScheduler()
    timesteps, steps = autopipe.retrieve_timesteps(scheduler, 5, "cpu")
    assert (len(timesteps), steps) == (5, 5)
    assert timesteps is scheduler.timesteps
    timesteps, steps = autopipe.retrieve_timesteps(scheduler, timesteps=[900, 500, 10])
    assert (timesteps.tolist(), steps) == ([900, 500, 10], 3)
    _, steps = autopipe.retrieve_timesteps(scheduler, sigmas=[9.0, 3.0, 1.0, 0.5])
    assert steps == 3
    with pytest.raises(ArgumentError):
        autopipe.retrieve_timesteps(scheduler, timesteps=[1], sigmas=[1.0])
    with pytest.raises(SchedulerError):
        autopipe.retrieve_timesteps(DDIMScheduler(), timesteps=[1])
    with pytest.raises(TypeError):
        autopipe.retrieve_timesteps(scheduler, 5, mu=1.0)


def test_latents_of_what_an_encoder_returns() -> None:
    posterior = DiagonalGaussianDistribution(torch.randn(1, 8, 2, 2))
    output = SimpleNamespace(latent_dist=posterior)
    first, again = (
        autopipe.retrieve_latents(output, torch.Generator().manual_seed(0)) for _ in range(2)
    )
    assert torch.equal(first, again)
    mode = autopipe.retrieve_latents(output, sample_mode="argmax")
    assert torch.equal(mode, posterior.mode())
    plain = torch.zeros(1)
    assert autopipe.retrieve_latents(SimpleNamespace(latents=plain)) is plain
    nothing: Any
    for nothing in (None, 5, torch.zeros(1), SimpleNamespace()):
        with pytest.raises(ArgumentTypeError, match="without latents"):
            autopipe.retrieve_latents(nothing)
    with pytest.raises(ArgumentError, match="sample_mode"):
        autopipe.retrieve_latents(output, sample_mode="mean")
