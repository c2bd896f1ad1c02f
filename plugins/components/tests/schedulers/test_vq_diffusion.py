"""Diffusion of classes: probabilities are such, and the mask is gone at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.vq_diffusion import VQDiffusionScheduler

CLASSES, PIXELS = 6, 9
MASKED = torch.full((2, PIXELS), CLASSES - 1)


def certain(picture: torch.Tensor) -> torch.Tensor:
    """The log probabilities of a network that is certain of `picture`."""
    one = torch.nn.functional.one_hot(picture, CLASSES - 1).mT
    return torch.log(one * 0.999 + 0.001 / (CLASSES - 1))


def draw(output: torch.Tensor, generator: Any, steps: int = 20) -> torch.Tensor:
    made = VQDiffusionScheduler(CLASSES, num_train_timesteps=20)
    made.set_timesteps(steps)
    sample = MASKED
    for timestep in made.timesteps:
        sample = made.step(output, timestep, sample, generator=generator).prev_sample
    return sample


def test_a_certain_network_is_believed() -> None:
    picture = torch.randint(0, CLASSES - 1, (2, PIXELS), generator=torch.Generator().manual_seed(0))
    found = draw(certain(picture), torch.Generator().manual_seed(1))
    assert (found == picture).float().mean() > 0.9
    assert (found < CLASSES - 1).all()


def test_steps_are_probabilities() -> None:
    made = VQDiffusionScheduler(CLASSES)
    a, b, c = made.log_at.exp(), made.log_bt.exp(), made.log_ct.exp()
    torch.testing.assert_close(a + b * (CLASSES - 1) + c, torch.ones(100))
    output = torch.randn(2, CLASSES - 1, PIXELS).log_softmax(dim=1)
    posterior = made.q_posterior(output, MASKED, 50)
    total = posterior.logsumexp(dim=1).exp()
    # Of the posterior of a masked pixel, up to the chance to be masked, which is not divided out.
    torch.testing.assert_close(total, total[:1, :1].expand_as(total), atol=1e-5, rtol=1e-4)


def test_a_list_of_generators_gives_each_sample_its_own() -> None:
    flat = torch.zeros(2, CLASSES - 1, PIXELS).log_softmax(dim=1)
    both = draw(flat, [torch.Generator().manual_seed(seed) for seed in (3, 4)])
    again = draw(flat, [torch.Generator().manual_seed(seed) for seed in (5, 4)])
    assert torch.equal(both[1], again[1])
    assert not torch.equal(both[0], again[0])


def ready() -> VQDiffusionScheduler:
    made = VQDiffusionScheduler(CLASSES)
    made.set_timesteps(4)
    return made


OUTPUT = torch.zeros(2, CLASSES - 1, PIXELS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VQDiffusionScheduler(1), "num_vec_classes"),
        (lambda: VQDiffusionScheduler(10**9), "num_vec_classes"),
        (lambda: VQDiffusionScheduler(CLASSES, gamma_cum_end=1.0), "at most 1"),
        (lambda: VQDiffusionScheduler(CLASSES, alpha_cum_start=0.0), "alpha_cum must fall"),
        (lambda: VQDiffusionScheduler(CLASSES).set_timesteps(101), "101 steps"),
        (lambda: ready().step(OUTPUT, 100, MASKED), "0 to 99"),
        (lambda: ready().step(OUTPUT, 3, MASKED.float()), "int64"),
        (lambda: ready().step(OUTPUT, 3, MASKED + 1), "0 to 5"),
        (lambda: ready().step(OUTPUT[:, :3], 3, MASKED), "shape"),
        (lambda: ready().q_posterior(OUTPUT, MASKED, 0), "no posterior"),
    ],
)
def test_what_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(SchedulerError, match=message):
        call()
