"""Every argument of every call with every kind of value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.room import check_refuses_what_cannot_fit
from support.values import flaws_of

from .conftest import picture
from .test_condition import Kind, kind  # noqa: F401


def test_every_value_works_or_is_refused_by_name(
    build: Callable[..., Any],
    prompt: Callable[..., dict[str, Any]],
    kind: Kind,  # noqa: F811
) -> None:
    images = {"control_image": picture(1), **kind.images()}
    call = {**prompt(kind.cls), **images, "num_inference_steps": 2, "output_type": "pt"}
    flaws = flaws_of(build(kind.cls), call)
    assert not flaws, "\n".join(flaws)


def test_what_cannot_fit_is_refused(
    build: Callable[..., Any],
    prompt: Callable[..., dict[str, Any]],
    kind: Kind,  # noqa: F811
) -> None:
    images = {"control_image": picture(1), **kind.images()}
    call = {**prompt(kind.cls), **images, "num_inference_steps": 2, "output_type": "pt"}
    check_refuses_what_cannot_fit(build(kind.cls), call)
