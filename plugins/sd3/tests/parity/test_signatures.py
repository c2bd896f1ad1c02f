"""Calls take the arguments of diffusers, in its order and with its defaults."""

from __future__ import annotations

import inspect

import pytest

import autopipe

from ..conftest import CASES

pytestmark = pytest.mark.parity

METHODS = ("__init__", "__call__", "encode_prompt", "check_inputs", "get_timesteps")


@pytest.mark.parametrize("name", [*CASES, "SD3Transformer2DModel"])
def test_the_same_arguments(name: str) -> None:
    import diffusers

    ours, theirs = getattr(autopipe, name), getattr(diffusers, name)
    methods = METHODS if name in CASES else ("__init__", "forward")
    for method in methods:
        if not hasattr(theirs, method):
            continue
        found, expected = (
            {
                one.name: one.default
                for one in inspect.signature(getattr(kind, method)).parameters.values()
                if one.kind is one.POSITIONAL_OR_KEYWORD
            }
            for kind in (ours, theirs)
        )
        assert list(found)[: len(expected)] == list(expected), method
        for argument, default in expected.items():
            given = found[argument]
            same = tuple(given) == tuple(default) if isinstance(default, list) else given == default
            assert same or default is inspect.Parameter.empty, (method, argument)
