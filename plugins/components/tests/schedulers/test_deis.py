"""DEIS: the exact integral of the polynomial through the noise predictions; refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.integrate import quad

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.deis_multistep import DEISMultistepScheduler


@pytest.mark.parametrize("order", [2, 3])
def test_the_integral_of_a_polynomial_in_log_rho_is_exact(order: int) -> None:
    """The ODE in rho = sigma / alpha is d(x / alpha) = noise d(rho); noise is a polynomial here."""
    scheduler = DEISMultistepScheduler(solver_order=order, lower_order_final=False)
    scheduler.set_timesteps(8)
    scheduler.sigmas = scheduler.sigmas.double()
    rho = scheduler.sigmas.tolist()

    def predicted(log_rho: float) -> float:
        return 0.4 - 0.2 * log_rho + (0.05 * log_rho**2 if order == 3 else 0)

    x = torch.ones(1, 1, dtype=torch.float64)
    for i, t in enumerate(scheduler.timesteps):
        before = float(x) * math.sqrt(1 + rho[i] ** 2)
        output = torch.full_like(x, predicted(math.log(rho[i])))
        x = scheduler.step(output, t, x).prev_sample
        if i >= order - 1:  # with fewer predictions the polynomial isn't known yet
            rise, _ = quad(lambda r: predicted(math.log(r)), rho[i], rho[i + 1])
            assert float(x) * math.sqrt(1 + rho[i + 1] ** 2) == pytest.approx(before + rise)


@pytest.mark.parametrize("kind", ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"])
def test_ends_at_the_last_noise_level_of_its_kind(kind: str) -> None:
    scheduler = DEISMultistepScheduler(**{kind: True})
    scheduler.set_timesteps(20)
    x = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    for t in scheduler.timesteps:
        last, x = x, scheduler.step(0.9 * x, t, x).prev_sample
    assert scheduler.sigmas[-1] == scheduler.sigmas[-2]
    assert torch.equal(last, x)  # a step of no length


@pytest.mark.parametrize(
    "options", [{"algorithm_type": "sde-dpmsolver++"}, {"solver_type": "rk"}, {"solver_order": 4}]
)
def test_options(options: dict[str, Any]) -> None:
    with pytest.raises(SchedulerError, match=next(iter(options))):
        DEISMultistepScheduler(**options)
