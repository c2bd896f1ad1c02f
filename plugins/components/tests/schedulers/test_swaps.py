"""Schedulers are made from each other's configs, there and back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from autopipe_components.schedulers.ddim import DDIMScheduler
from autopipe_components.schedulers.ddpm import DDPMScheduler
from autopipe_components.schedulers.euler_discrete import EulerDiscreteScheduler
from autopipe_components.schedulers.pndm import PNDMScheduler


def test_a_swap_and_back_restores_everything() -> None:
    start = PNDMScheduler(skip_prk_steps=True, steps_offset=1, set_alpha_to_one=True)
    euler = EulerDiscreteScheduler.from_config(start.config, use_karras_sigmas=True)
    assert euler.config.use_karras_sigmas
    assert euler.config.steps_offset == 1
    back = PNDMScheduler.from_config(DDIMScheduler.from_config(euler.config).config)
    for name in PNDMScheduler.init_parameters():
        assert back.config[name] == start.config[name]


def test_defaults_are_those_of_each_class() -> None:
    """What was never chosen is not carried over: DDPM clips by default, PNDM never."""
    assert DDPMScheduler.from_config(PNDMScheduler().config).config.clip_sample
    assert PNDMScheduler.from_config(DDIMScheduler().config).config.set_alpha_to_one is False


def test_configs_survive_saving(tmp_path: Path) -> None:
    start = DDIMScheduler(beta_schedule="scaled_linear", steps_offset=1)
    start.save_config(tmp_path)
    again = DDIMScheduler.from_config(DDIMScheduler.load_config(tmp_path))
    names = DDIMScheduler.init_parameters()
    assert {n: again.config[n] for n in names} == {n: start.config[n] for n in names}


@pytest.mark.parametrize("module", ["lms_discrete", "euler_discrete"])
def test_scipy_is_not_imported_before_it_is_needed(module: str) -> None:
    program = (
        f"import sys, autopipe_components.schedulers.{module}; sys.exit('scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
