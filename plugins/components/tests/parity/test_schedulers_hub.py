"""The scheduler configs of real checkpoints give the same schedules as in diffusers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.public import CHECKPOINTS

from autopipe_components.schedulers.ddim import DDIMScheduler
from autopipe_components.schedulers.ddpm import DDPMScheduler
from autopipe_components.schedulers.dpm_solver_multistep import DPMSolverMultistepScheduler
from autopipe_components.schedulers.euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from autopipe_components.schedulers.euler_discrete import EulerDiscreteScheduler
from autopipe_components.schedulers.lcm import LCMScheduler
from autopipe_components.schedulers.pndm import PNDMScheduler

diffusers = pytest.importorskip("diffusers")
CONFIGS = sorted(CHECKPOINTS.glob("*/scheduler/scheduler_config.json"))
pytestmark = pytest.mark.parity

SCHEDULERS: list[Any] = [
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.parents[1].name)
def test_schedules_of_real_configs(file: Path, scheduler: Any) -> None:
    config = json.loads(file.read_text(encoding="utf-8"))
    reference = getattr(diffusers, scheduler.__name__).from_config(config)
    ours = scheduler.from_config(config)
    for made in (ours, reference):
        made.set_timesteps(20)
    # The reference computes in float32 or float64 what is float32 here.
    torch.testing.assert_close(ours.timesteps.double(), reference.timesteps.double())
    torch.testing.assert_close(ours.alphas_cumprod, reference.alphas_cumprod)
    for name in ("sigmas", "init_noise_sigma"):
        if hasattr(reference, name):
            mine, theirs = (torch.as_tensor(getattr(m, name)) for m in (ours, reference))
            torch.testing.assert_close(mine, theirs, check_dtype=False)
    for name, value in reference.config.items():
        if not name.startswith("_"):
            assert ours.config[name] == value
