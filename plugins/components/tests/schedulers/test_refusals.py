"""What can't work is refused with a typed error, at the earliest moment it is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from autopipe.errors import SchedulerError
from autopipe_components.schedulers.ddim import DDIMScheduler
from autopipe_components.schedulers.ddpm import DDPMScheduler
from autopipe_components.schedulers.euler_discrete import EulerDiscreteScheduler
from autopipe_components.schedulers.heun_discrete import HeunDiscreteScheduler
from autopipe_components.schedulers.lcm import LCMScheduler
from autopipe_components.schedulers.lms_discrete import LMSDiscreteScheduler
from autopipe_components.schedulers.pndm import PNDMScheduler
from autopipe_components.schedulers.tcd import TCDScheduler

EVERY: list[Any] = [
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    TCDScheduler,
]


@pytest.mark.parametrize(
    "options",
    [
        {"beta_schedule": "quadratic"},
        {"prediction_type": "eps"},
        {"timestep_spacing": "even"},
        {"num_train_timesteps": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("scheduler", EVERY)
def test_bad_options_fail_in_the_constructor(scheduler: Any, options: dict[str, Any]) -> None:
    with pytest.raises(SchedulerError, match=next(iter(options))):
        scheduler(**options)


@pytest.mark.parametrize(
    ("scheduler", "options", "message"),
    [
        (EulerDiscreteScheduler, {"interpolation_type": "cubic"}, "interpolation_type"),
        (EulerDiscreteScheduler, {"final_sigmas_type": "one"}, "final_sigmas_type"),
        (EulerDiscreteScheduler, {"timestep_type": "both"}, "timestep_type"),
        (DDPMScheduler, {"variance_type": "large"}, "variance_type"),
        (LCMScheduler, {"original_inference_steps": 2000}, "2000 original_inference_steps"),
        (
            HeunDiscreteScheduler,
            {"use_karras_sigmas": True, "use_beta_sigmas": True},
            "use_karras_sigmas and use_beta_sigmas",
        ),
        (DDIMScheduler, {"timestep_spacing": "trailling"}, "Did you mean 'trailing'"),
    ],
)
def test_options_of_one_scheduler(scheduler: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SchedulerError, match=message):
        scheduler(**options)


ONE = torch.ones(1, 3, 4, 4)


def karras_heun() -> HeunDiscreteScheduler:
    return HeunDiscreteScheduler(use_karras_sigmas=True)


def ready(scheduler: Any) -> Any:
    scheduler.set_timesteps(5)
    return scheduler


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DDIMScheduler().step(ONE, 1, ONE), "set_timesteps"),
        (lambda: LCMScheduler().step(ONE, 999, ONE), "set_timesteps"),
        (lambda: DDIMScheduler().set_timesteps(1001), "1001 steps"),
        (lambda: DDIMScheduler().set_timesteps(0), "num_inference_steps"),
        (lambda: EulerDiscreteScheduler().set_timesteps(2.5), "num_inference_steps"),
        (lambda: EulerDiscreteScheduler().set_timesteps(), "got none"),
        (lambda: EulerDiscreteScheduler().set_timesteps(5, timesteps=[9, 1]), "exactly one"),
        (lambda: karras_heun().set_timesteps(timesteps=[9, 1]), "use_karras_sigmas=True"),
        (lambda: DDPMScheduler().set_timesteps(timesteps=[9, 9]), "descend"),
        (lambda: DDPMScheduler().set_timesteps(timesteps=[1000, 9]), "trained on 0 to 999"),
        (lambda: DDPMScheduler().set_timesteps(timesteps=[]), "empty"),
        (lambda: PNDMScheduler().set_timesteps(3), "skip_prk_steps"),
        (lambda: LCMScheduler().set_timesteps(60), "more than the 50"),
        (lambda: TCDScheduler().set_timesteps(30, strength=0.5), "more than the 25"),
        (lambda: ready(TCDScheduler()).step(ONE, 999, ONE, eta=1.5), "eta"),
        (lambda: ready(DDIMScheduler()).step(ONE, 800, ONE, eta=-1.0), "eta"),
        (lambda: ready(EulerDiscreteScheduler()).step(ONE, 3, ONE), "positions"),
        (lambda: ready(HeunDiscreteScheduler()).step(ONE, 123.4, ONE), "123.4 is not in"),
        (lambda: ready(DDPMScheduler(variance_type="learned")).step(ONE, 800, ONE), "channels"),
    ],
)
def test_bad_calls(call: Callable[[], object], message: str) -> None:
    with pytest.raises(SchedulerError, match=message):
        call()


def test_an_unscaled_sample_is_noticed() -> None:
    made = ready(EulerDiscreteScheduler())
    with pytest.warns(UserWarning, match="scale_model_input"):
        made.step(ONE, made.timesteps[0], ONE)
