"""Detects side effects of a call: records state before it, and compares it afterwards."""

from __future__ import annotations

import copy
import os
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from autopipe.pipeline.base import DiffusionPipeline
from autopipe.placement.base import networks_of
from autopipe.scheduling import SchedulerMixin

UNLIKELY = 1693177
"""A seed that no call sets."""

TORCH = "the random state of torch"


def of_process() -> dict[str, Any]:
    """Return the random states and modes that belong to the process or to this thread."""
    return {
        TORCH: torch.get_rng_state(),
        "the random state of numpy": np.random.get_state(),
        "the random state of Python": random.getstate(),
        "the grad mode of torch": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "the default dtype of torch": torch.get_default_dtype(),
        "autocasting": torch.is_autocast_enabled("cpu"),
        "the deterministic mode of torch": torch.are_deterministic_algorithms_enabled(),
        "the number of torch's threads": torch.get_num_threads(),
        "the filters of warnings": list(warnings.filters),
        "the environment": dict(os.environ),
        "the working directory": os.getcwd(),
    }


@contextmanager
def restored() -> Iterator[None]:
    """Context manager that restores random states and modes at the end.

    At the start it seeds the random states with a seed that no call would use.
    """
    torch_state, numpy_state, python_state = (
        torch.get_rng_state(),
        np.random.get_state(),
        random.getstate(),
    )
    grad, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    deterministic, threads = (
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
    )
    environment, folder = dict(os.environ), os.getcwd()
    seeds: tuple[Callable[[int], Any], ...]
    seeds = (torch.manual_seed, np.random.seed, random.seed)
    for seed in seeds:
        seed(UNLIKELY)
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        torch.set_grad_enabled(grad)
        torch.set_default_dtype(dtype)
        # Only if it has changed, since setting it imports a compiler.
        if torch.are_deterministic_algorithms_enabled() != deterministic:
            torch.use_deterministic_algorithms(deterministic)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)


def of_pipeline(pipe: DiffusionPipeline) -> dict[str, Any]:
    """Return a pipeline's attributes, its schedulers, and its networks' modes and weights."""
    found: dict[str, Any] = {
        f"the attribute {name} of the pipeline": id(value) for name, value in vars(pipe).items()
    }
    for name, component in pipe.components.items():
        if isinstance(component, SchedulerMixin):
            found[f"the scheduler {name!r}"] = copy.deepcopy(vars(component))
    for name, network in networks_of(pipe.components).items():
        found |= of_network(name, network)
    return found


def of_network(name: str, network: nn.Module) -> dict[str, Any]:
    """Return the modes and weights of the network that is the component `name`."""
    modules, parameters = dict(network.named_modules()), dict(network.named_parameters())
    return {
        f"train or eval mode of {name}": {n: one.training for n, one in modules.items()},
        f"requires_grad of {name}": {n: one.requires_grad for n, one in parameters.items()},
        f"the gradients of {name}": {n: one.grad is None for n, one in parameters.items()},
        f"the weights of {name}": {n: t.clone() for n, t in network.state_dict().items()},
    }


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of everything that has changed."""
    names = dict.fromkeys((*before, *after))
    return [
        name
        for name in names
        if name not in before or name not in after or not same(before[name], after[name])
    ]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, including the dtypes and bits of the tensors in them."""
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        alike = (one.dtype, one.shape, one.requires_grad) == (
            other.dtype,
            other.shape,
            other.requires_grad,
        )
        return alike and torch.equal(one.nan_to_num(), other.nan_to_num())
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype == float)
    if isinstance(one, Image.Image):
        return (one.mode, one.size, one.tobytes()) == (other.mode, other.size, other.tobytes())
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Generator):
        return True  # drawing from it is allowed
    return bool(one == other)
