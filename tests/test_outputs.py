"""The output classes of all packages are ordered dicts and pytrees for torch."""

from __future__ import annotations

import inspect
import pickle
import sys
from dataclasses import asdict, fields
from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

from autopipe.outputs import BaseOutput
from autopipe.registry import default_registry


def outputs() -> list[Any]:
    """Return the output classes in all modules that the installed classes import."""
    registry = default_registry()
    for name in registry.names():
        registry.load(name)
    return sorted(
        {
            one
            for module in list(sys.modules.values())
            if getattr(module, "__name__", "").startswith("autopipe")
            for one in vars(module).values()
            if inspect.isclass(one) and issubclass(one, BaseOutput) and one is not BaseOutput
        },
        key=lambda one: one.__qualname__,
    )


OUTPUTS = outputs()


def test_there_are_some_of_each_kind() -> None:
    names = {one.__name__ for one in OUTPUTS}
    assert {
        "StableDiffusionPipelineOutput",
        "IFPipelineOutput",
        "KandinskyPriorPipelineOutput",
        "SchedulerOutput",
        "UNet2DConditionOutput",
        "AutoencoderKLOutput",
        "ControlNetOutput",
    } <= names


@pytest.mark.parametrize("cls", OUTPUTS, ids=lambda cls: cls.__name__)
def test_it_is_a_dict_of_its_fields(cls: Any) -> None:
    names = [field.name for field in fields(cls)]
    full = cls(*(torch.full((1,), float(i)) for i, _ in enumerate(names)))
    assert isinstance(full, dict)
    assert list(full.items()) == list(asdict(full).items())
    first = cls(torch.ones(1))
    assert (list(first), len(first.to_tuple())) == (names[:1], 1)
    for out in (full, first):
        for made in (
            pickle.loads(pickle.dumps(out)),
            pytree.tree_map(torch.clone, out),
            cls(dict(out)),
            cls((name, out[name]) for name in out),
        ):
            assert (type(made), list(made), made.to_tuple()) == (cls, list(out), out.to_tuple())
