"""Every argument of every call with every kind of value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.image_embeddings import stage_call
from support.record import parameters_of
from support.room import check_refuses_what_cannot_fit
from support.values import flaws_of

import autopipe

from .test_components import KINDS


@pytest.mark.parametrize("name", KINDS)
def test_every_value_works_or_is_refused_by_name(build: Callable[..., Any], name: str) -> None:
    kind = getattr(autopipe, name)
    few = {"prior_num_inference_steps": 2} if "Combined" in name else {}
    call = {**stage_call(kind), **few, "output_type": "pt"}
    assert parameters_of(kind) >= set(call)
    flaws = flaws_of(build(kind), call)
    assert not flaws, "\n".join(flaws)


@pytest.mark.parametrize("name", [name for name in KINDS if "Prior" not in name])
def test_what_cannot_fit_is_refused(build: Callable[..., Any], name: str) -> None:
    kind = getattr(autopipe, name)
    few = {"prior_num_inference_steps": 2} if "Combined" in name else {}
    check_refuses_what_cannot_fit(build(kind), {**stage_call(kind), **few, "output_type": "pt"})
