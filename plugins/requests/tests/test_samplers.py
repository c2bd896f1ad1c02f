"""Samplers of other programs: each name has the scheduler that does the same, and back."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopipe_components import schedulers
from autopipe_requests.request import Scheduler
from autopipe_requests.samplers import (
    SAMPLERS,
    Sampler,
    dpm_sde,
    sampler_of,
    scheduler_known_as,
    scheduler_of,
    split_name,
)

TYPES = ("Karras", "Exponential", "Beta", "Uniform", "SGM Uniform", "DDIM")


def classes() -> dict[str, type[Any]]:
    """The schedulers of autopipe-components by name."""
    modules = pkgutil.iter_modules(schedulers.__path__, f"{schedulers.__name__}.")
    found: dict[str, type[Any]] = {}
    for module in modules:
        found.update(inspect.getmembers(importlib.import_module(module.name), inspect.isclass))
    return found


CLASSES = classes()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda one: one.name)
@pytest.mark.parametrize("kind", [None, "Automatic", *TYPES])
def test_every_row_is_a_scheduler_that_takes_its_config(sampler: Sampler, kind: str | None) -> None:
    scheduler, _ = scheduler_of(sampler, kind)
    made = CLASSES[scheduler.name](**scheduler.config)
    assert {key: made.config[key] for key in scheduler.config} == scheduler.config
    made.set_timesteps(5)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda one: one.name)
def test_latents_are_never_clipped(sampler: Sampler) -> None:
    # Some classes clip by default, which is for pixels.
    scheduler, _ = scheduler_of(sampler, "Automatic")
    made = CLASSES[scheduler.name](**scheduler.config)
    assert not made.config.get("clip_sample", False)


def test_names_are_told_apart() -> None:
    names = [one.name for one in SAMPLERS]
    assert len(set(names)) == len(names)
    assert [split_name(name)[0] for name in names] == list(SAMPLERS)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda one: one.name)
@pytest.mark.parametrize("kind", TYPES)
def test_a_scheduler_has_the_name_that_it_came_from(sampler: Sampler, kind: str) -> None:
    scheduler, missing = scheduler_of(sampler, kind)
    expected = "DPM++ 2S" if sampler.name == "DPM++ 2S a" else sampler.name
    assert missing or sampler_of(scheduler) == (expected, kind)


@pytest.mark.parametrize(
    ("name", "scheduler", "config"),
    [
        ("Euler", "EulerDiscrete", {}),
        ("k_euler_a", "EulerAncestralDiscrete", {}),
        ("euler_ancestral", "EulerAncestralDiscrete", {}),
        ("Euler Karras", "EulerDiscrete", {"use_karras_sigmas": True}),
        ("euler_k", "EulerDiscrete", {"use_karras_sigmas": True}),
        ("k_dpm_2_ancestral", "KDPM2AncestralDiscrete", {}),
        ("kdpm_2_a_k", "KDPM2AncestralDiscrete", {"use_karras_sigmas": True}),
        ("plms", "PNDM", {}),
        ("PNDM", "PNDM", {}),
        ("uni_pc_bh2", "UniPCMultistep", {"solver_type": "bh2"}),
        ("deis", "DEISMultistep", {}),
        ("LCM", "LCM", {}),
    ],
)
def test_names_of_other_programs(name: str, scheduler: str, config: dict[str, Any]) -> None:
    assert scheduler_known_as(name) == Scheduler(name=f"{scheduler}Scheduler", config=config)


@pytest.mark.parametrize(
    ("name", "order", "algorithm", "kind"),
    [
        ("DPM++ 2M Karras", 2, "dpmsolver++", "use_karras_sigmas"),
        ("dpmpp_2m_k", 2, "dpmsolver++", "use_karras_sigmas"),
        ("dpmpp_2m_sde_gpu", 2, "sde-dpmsolver++", None),
        ("DPM++ 3M SDE Exponential", 3, "sde-dpmsolver++", "use_exponential_sigmas"),
        ("dpmpp_3m_k", 3, "dpmsolver++", "use_karras_sigmas"),
        ("dpm++", 2, "dpmsolver++", None),
    ],
)
def test_names_of_dpm_solvers(name: str, order: int, algorithm: str, kind: str | None) -> None:
    found = scheduler_known_as(name)
    assert found is not None
    assert found.name == "DPMSolverMultistepScheduler"
    assert found.config["solver_order"] == order
    assert found.config["algorithm_type"] == algorithm
    assert [key for key in found.config if key.startswith("use_")] == [kind] * (kind is not None)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("DPM++ 2M", "use_karras_sigmas"),
        ("DPM++ SDE", "use_karras_sigmas"),
        ("DPM++ 2S a", "use_karras_sigmas"),
        ("DPM2 a", "use_karras_sigmas"),
        ("DPM++ 2M SDE", "use_exponential_sigmas"),
        ("DPM++ 3M SDE", "use_exponential_sigmas"),
    ],
)
def test_automatic_is_the_choice_of_the_sampler(name: str, key: str) -> None:
    sampler, _ = split_name(name)
    assert sampler is not None
    assert scheduler_of(sampler, "Automatic")[0].config[key] is True


@pytest.mark.parametrize("with_paths", [True, False])
def test_dpm_sde_is_the_same_where_its_noise_can_be_drawn(with_paths: bool) -> None:
    sampler = dpm_sde(with_paths)
    assert with_paths != bool(sampler.differs)
    assert sampler.stochastic
    scheduler, missing = scheduler_of(sampler, "Karras")
    assert missing is None
    assert scheduler.name.startswith("DPMSolverSDE") == with_paths
    # Either is called so, whatever is installed.
    assert sampler_of(scheduler) == ("DPM++ SDE", "Karras")
    made = CLASSES[scheduler.name](**scheduler.config)
    assert made.config.use_karras_sigmas


@pytest.mark.parametrize("name", ["DPM fast", "DPM adaptive", "Restart", "heunpp2", "", "Karras"])
def test_others_have_no_counterpart(name: str) -> None:
    assert scheduler_known_as(name) is None


def test_what_a_scheduler_lacks_is_told() -> None:
    ancestral, _ = split_name("Euler a")
    euler, _ = split_name("Euler")
    assert ancestral is not None
    assert euler is not None
    assert scheduler_of(ancestral, "Karras")[1] is not None
    assert scheduler_of(euler, "Align Your Steps")[1] == "has no counterpart here"
    assert scheduler_of(euler, "Karras")[1] is None


def test_a_scheduler_without_a_sampler_has_no_name() -> None:
    assert sampler_of(Scheduler(name="UnCLIPScheduler")) is None
    lu = {"use_lu_lambdas": True}
    assert sampler_of(Scheduler(name="DPMSolverMultistepScheduler", config=lu)) is None
    assert sampler_of(Scheduler(name="EulerDiscreteScheduler")) == ("Euler", "Uniform")


@given(st.text(max_size=300))
def test_any_name_is_known_or_not(name: str) -> None:
    found = scheduler_known_as(name)
    assert found is None or found.name in CLASSES
