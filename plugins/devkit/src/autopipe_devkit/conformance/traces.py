"""What a call could change beside its result, taken down before it and compared after it."""

from __future__ import annotations

import copy
import os
import random
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from autopipe.pipeline.base import DiffusionPipeline
from autopipe.placement.base import networks_of
from autopipe.scheduling import SchedulerMixin

TORCH = "the random state of torch"


def of_process() -> dict[str, Any]:
    """Random states and modes that the whole process, or this thread, shares."""
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


def of_pipeline(pipe: DiffusionPipeline) -> dict[str, Any]:
    """Attributes of a pipeline, its schedulers, and the modes and weights of its networks."""
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
    """Modes and weights of the network that is the component `name`."""
    modules, parameters = dict(network.named_modules()), dict(network.named_parameters())
    return {
        f"train or eval mode of {name}": {n: one.training for n, one in modules.items()},
        f"requires_grad of {name}": {n: one.requires_grad for n, one in parameters.items()},
        f"the gradients of {name}": {n: one.grad is None for n, one in parameters.items()},
        f"the weights of {name}": {n: t.clone() for n, t in network.state_dict().items()},
    }


def of_hooks(pipe: DiffusionPipeline) -> dict[str, Any]:
    """How many hooks each module of the networks has; some set up theirs when first used."""
    return {
        f"the hooks of {name}": {n: _hooks(one) for n, one in network.named_modules()}
        for name, network in networks_of(pipe.components).items()
    }


def _hooks(module: nn.Module) -> tuple[int, int]:
    return len(module._forward_hooks), len(module._forward_pre_hooks)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of what isn't as it was."""
    names = dict.fromkeys((*before, *after))
    return [
        name
        for name in names
        if name not in before or name not in after or not same(before[name], after[name])
    ]


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, down to the bits and dtypes of tensors in them."""
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
        return True  # a call draws from it
    return bool(one == other)
