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


def _set_environment(variables: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(variables)


_STATES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    TORCH: (torch.get_rng_state, torch.set_rng_state),
    "the random state of numpy": (np.random.get_state, np.random.set_state),
    "the random state of Python": (random.getstate, random.setstate),
    "the grad mode of torch": (
        lambda: (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        lambda modes: torch.set_grad_enabled(modes[0]),
    ),
    "the default dtype of torch": (torch.get_default_dtype, torch.set_default_dtype),
    "autocasting": (
        lambda: torch.is_autocast_enabled("cpu"),
        lambda on: torch.set_autocast_enabled("cpu", on),
    ),
    "the deterministic mode of torch": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "the number of torch's threads": (torch.get_num_threads, torch.set_num_threads),
    "the environment": (lambda: dict(os.environ), _set_environment),
    "the working directory": (os.getcwd, os.chdir),
}
"""The functions that return and set each random state and mode of the process or thread."""


def of_process() -> dict[str, Any]:
    """Return the random states and modes that belong to the process or to this thread."""
    found = {name: read() for name, (read, _) in _STATES.items()}
    return {**found, "the filters of warnings": list(warnings.filters)}


@contextmanager
def restored() -> Iterator[None]:
    """Context manager that restores random states and modes at the end.

    At the start it seeds the random states with a seed that no call would use.
    """
    before = {name: read() for name, (read, _) in _STATES.items()}
    torch.manual_seed(UNLIKELY)
    np.random.seed(UNLIKELY)
    random.seed(UNLIKELY)
    with warnings.catch_warnings():
        try:
            yield
        finally:
            for name, (read, restore) in _STATES.items():
                # Only if it has changed: setting the deterministic mode imports a compiler.
                if not same(before[name], read()):
                    restore(before[name])


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


def dtypes(pipe: DiffusionPipeline) -> dict[str, torch.dtype]:
    """Return the dtype of each tensor of the networks, by a description for messages."""
    return {
        f"the dtype of {name}.{key}": tensor.dtype
        for name, network in networks_of(pipe.components).items()
        for key, tensor in network.state_dict().items()
    }


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
