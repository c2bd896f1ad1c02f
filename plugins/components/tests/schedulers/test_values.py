"""Every value that a config or a call can hold: each works, or is refused by a typed error.

The parameters are those of the signatures, so a scheduler that is added is tried too.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from support.config_values import VALUES
from support.odd import NAN, refusal, says

from autopipe.errors import SchedulerError
from autopipe.scheduling import SchedulerMixin
from autopipe_components import schedulers
from autopipe_components.schedulers.ddpm_wuerstchen import DDPMWuerstchenScheduler
from autopipe_components.schedulers.euler_discrete import EulerDiscreteScheduler
from autopipe_components.schedulers.vq_diffusion import VQDiffusionScheduler

ONE = torch.full((1, 3, 4, 4), 0.5)


OTHERS = (DDPMWuerstchenScheduler, VQDiffusionScheduler)
"""Their samples or timesteps are others, so they have tests of their own."""


def every_scheduler() -> list[Any]:
    modules = [
        importlib.import_module(one.name)
        for one in pkgutil.walk_packages(schedulers.__path__, f"{schedulers.__name__}.")
    ]
    found = {cls for module in modules for cls in vars(module).values() if inspect.isclass(cls)}
    made = [cls for cls in found if issubclass(cls, SchedulerMixin) and cls.init_parameters()]
    return sorted((cls for cls in made if cls not in OTHERS), key=lambda cls: cls.__name__)


SCHEDULERS = every_scheduler()

CALLED: list[Any] = [
    *VALUES,
    *(2.5, 2000, torch.tensor(3), torch.tensor(NAN), torch.tensor([True]), torch.tensor([-1])),
    *(torch.tensor([2000]), [1, 500, 3], torch.ones(1, 3, 5, 5), torch.ones(1, 6, 4, 4)),
    *(torch.ones(2, 3, 4, 4), torch.ones(1, 3, 4, 4, dtype=torch.int64), torch.empty(0)),
    *(torch.ones(1, 3, 4, 4, dtype=torch.complex64), torch.ones(1, 3, 4, 4, device="meta")),
    *([torch.Generator()] * 3, "cpu:x"),
]
METHODS: dict[str, Callable[[torch.Tensor], dict[str, Any]]] = {
    "set_timesteps": lambda t: {"num_inference_steps": 4},
    "step": lambda t: {"model_output": ONE, "timestep": t, "sample": ONE},
    "step_prk": lambda t: {"model_output": ONE, "timestep": t, "sample": ONE},
    "step_plms": lambda t: {"model_output": ONE, "timestep": t, "sample": ONE},
    "scale_model_input": lambda t: {"sample": ONE, "timestep": t},
    "add_noise": lambda t: {"original_samples": ONE, "noise": ONE, "timesteps": t[None]},
    "scale_noise": lambda t: {"sample": ONE, "timestep": t[None], "noise": ONE},
    "batch_step_no_noise": lambda t: {"model_output": ONE, "timesteps": t[None], "sample": ONE},
    "set_shift": lambda t: {"shift": 1.0},
    "precondition_inputs": lambda t: {"sample": ONE, "sigma": 1.0},
    "precondition_noise": lambda t: {"sigma": 1.0},
    "precondition_outputs": lambda t: {"sample": ONE, "model_output": ONE, "sigma": 1.0},
    "get_velocity": lambda t: {"sample": ONE, "noise": ONE, "timesteps": t[None]},
    "set_begin_index": lambda t: {},
    "index_for_timestep": lambda t: {"timestep": t},
    "previous_timestep": lambda t: {"timestep": t},
    "convert_model_output": lambda t: {"model_output": ONE, "sample": ONE},
    "get_order_list": lambda t: {"num_inference_steps": 4},
    "get_lms_coefficient": lambda t: {"order": 1, "t": 0, "current_order": 0},
    "get_scalings_for_boundary_condition_discrete": lambda t: {"timestep": t},
}
CASES = [(cls, method) for cls in SCHEDULERS for method in METHODS if hasattr(cls, method)]
FLAGS = {"self", "return_dict", "use_clipped_model_output"}
LISTS = {"timesteps", "sigmas"}


def ready(cls: Any, steps: int = 4, **options: Any) -> Any:
    made = cls(**options)
    made.set_timesteps(steps)
    return made


def use(made: Any) -> None:
    """A schedule, and two steps of it."""
    shift = {"mu": 0.5} if made.config.get("use_dynamic_shifting") else {}
    made.set_timesteps(4, **shift)
    takes = inspect.signature(made.step).parameters
    noise = {"generator": torch.Generator().manual_seed(0)} if "generator" in takes else {}
    learned = str(made.config.get("variance_type")).startswith("learned")
    sample = ONE
    for timestep in made.timesteps[:2]:
        output = made.scale_model_input(sample, timestep) * 0.1
        output = torch.cat([output] * 2, dim=1) if learned else output
        sample = made.step(output, timestep, sample, **noise)[0]
    made.add_noise(ONE, ONE, made.timesteps[:1])


@pytest.mark.parametrize("cls", SCHEDULERS)
def test_values_of_a_config(cls: Any) -> None:
    for name in cls.init_parameters():
        for value in VALUES:
            made: list[Any] = []
            error = refusal(lambda: made.append(cls(**{name: value})))  # noqa: B023
            assert error is None or says(error, cls.__name__, name), (name, value, error)
            # What it takes may not go together with the steps that are taken here.
            error = refusal(lambda: use(made[0].copy())) if made else None  # noqa: B023
            assert error is None or says(error, cls.__name__), (name, value, error)


@pytest.mark.parametrize("cls", SCHEDULERS)
def test_what_is_set_later_is_checked_as_in_the_constructor(cls: Any) -> None:
    made = cls()
    before = dict(made.config)
    for name in cls.init_parameters():
        for value in ("x", [[1]], NAN, {}):
            if refusal(lambda: cls(**{name: value})) is None:  # noqa: B023
                continue
            with pytest.raises(SchedulerError):
                setattr(made.config, name, value)
            with pytest.raises(SchedulerError):
                made.register_to_config(**{name: value})
            assert made.config == before


def test_what_is_set_later_concerns_the_next_schedule_of_that_scheduler_alone() -> None:
    made = ready(EulerDiscreteScheduler)
    twin, before = made.copy(), made.timesteps
    made.config.timestep_spacing = "trailing"
    twin.set_timesteps(4)
    assert torch.equal(twin.timesteps, before)
    made.set_timesteps(4)
    assert torch.equal(
        made.timesteps, ready(EulerDiscreteScheduler, timestep_spacing="trailing").timesteps
    )


@pytest.mark.parametrize(("cls", "method"), CASES)
def test_values_of_a_call(cls: Any, method: str) -> None:
    made = ready(cls)
    takes = inspect.signature(getattr(cls, method)).parameters
    for name in takes.keys() - FLAGS:
        # Noise is only drawn, and its source only looked at, where it is asked for.
        options = {"eta": 1.0, "s_churn": 1.0} if name == "generator" else {}
        given = {option: value for option, value in options.items() if option in takes}
        given.update(METHODS[method](made.timesteps[0]))
        if name in LISTS and method == "set_timesteps" and "UniPC" not in cls.__name__:
            del given["num_inference_steps"]
        for value in CALLED:
            one = made.copy()
            call = functools.partial(getattr(one, method), **{**given, name: value})
            error = refusal(call)
            assert error is None or says(error), name


def walked(cls: Any) -> Iterator[tuple[Any, torch.Tensor]]:
    made = ready(cls)
    for timestep in made.timesteps:
        yield made, timestep


COUNTING = [cls for cls in SCHEDULERS if hasattr(cls, "step_index")]


def test_most_schedulers_count_their_steps() -> None:
    names = {cls.__name__ for cls in SCHEDULERS} - {cls.__name__ for cls in COUNTING}
    assert names == {
        "DDIMInverseScheduler",
        "DDIMParallelScheduler",
        "DDIMScheduler",
        "DDPMParallelScheduler",
        "DDPMScheduler",
        "PNDMScheduler",
        "UnCLIPScheduler",
    }


@pytest.mark.parametrize("cls", COUNTING)
def test_a_step_after_the_last(cls: Any) -> None:
    for made, timestep in walked(cls):
        made.step(ONE, timestep, ONE)
    for call in (
        lambda: made.step(ONE, timestep, ONE),
        lambda: made.step(ONE, made.timesteps[0], ONE),
    ):
        with pytest.raises(SchedulerError, match=f"{cls.__name__} has taken all of its"):
            call()
    made.set_timesteps(4)
    made.step(ONE, made.timesteps[0], ONE)


@pytest.mark.parametrize("cls", SCHEDULERS)
def test_a_number_of_steps_that_is_none(cls: Any) -> None:
    made = cls()
    before = made.timesteps
    for wrong in (0, -1, 10**9, "x", 2.5, True, None, [5], torch.tensor(5)):
        with pytest.raises(SchedulerError):
            made.set_timesteps(wrong)
        assert made.timesteps is before


@pytest.mark.parametrize("cls", SCHEDULERS)
def test_outputs_and_samples_that_do_not_go_together(cls: Any) -> None:
    made = ready(cls)
    for output, sample in (
        (ONE, ONE[..., :3]),
        (ONE[:, :2], ONE),
        (torch.ones(1, 6, 4, 4), ONE),
        (ONE, ONE.long()),
        (None, ONE),
        (ONE, ONE.numpy()),
        (ONE, ONE.to("meta")),
        (torch.tensor(1.0), ONE),
    ):
        with pytest.raises(SchedulerError, match=cls.__name__):
            made.step(output, made.timesteps[0], sample)
    # One prediction for several samples was always taken.
    assert made.step(ONE, made.timesteps[0], torch.ones(2, 3, 4, 4))[0].shape == (2, 3, 4, 4)


@pytest.mark.parametrize("cls", SCHEDULERS)
def test_a_timestep_that_is_not_in_the_schedule(cls: Any) -> None:
    made = ready(cls)
    # Schedulers that don't count their steps cut a timestep off to a whole one.
    between = [123.4] if cls in COUNTING else []
    for timestep in (-1, 5000, NAN, "x", None, True, torch.ones(2), 10**30, *between):
        with pytest.raises(SchedulerError):
            made.step(ONE, timestep, ONE)


@pytest.mark.parametrize("cls", SCHEDULERS)
def test_noise_that_does_not_fit(cls: Any) -> None:
    made = ready(cls)
    first = made.timesteps[:1]
    for noise, timesteps in (
        (torch.ones(1, 3, 5, 5), first),
        ("x", first),
        (ONE.long(), first),
        (ONE.to("meta"), first),
        (ONE, torch.tensor([-1])),
        (ONE, torch.tensor([5000])),
        (ONE, torch.tensor([0, 0, 0])),
        (ONE, "x"),
        (ONE, []),
        (ONE, NAN),
    ):
        with pytest.raises(SchedulerError):
            made.add_noise(ONE.repeat(2, 1, 1, 1), noise, timesteps)
