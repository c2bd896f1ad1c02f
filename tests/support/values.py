"""Every parameter of a call with every kind of value: it works, or is refused by its name.

The values are made from the signature of the call, and nothing is said of what a parameter is
for, so a new pipeline class is covered by naming it.
"""

from __future__ import annotations

import inspect
import resource
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import torch

from autopipe.errors import AutopipeError

from .odd import ODD

_SECONDS = 60
"""For one call; they take milliseconds."""

_MEMORY = 4 * 2**30
"""Bytes that a call may map beyond what the process has; they take a few MB."""

_made: set[tuple[str, str, str]] = set()
"""What was called to the end: the package, the parameter and the value."""


class Accepted(Exception):
    """The arguments were checked, and a network was about to compute."""


def flaws_of(pipe: Any, call: Mapping[str, Any]) -> list[str]:
    """What is wrong with how `pipe` takes each parameter, one line each.

    Values that are accepted are used for a whole call once for all classes of a family.

    Args:
        call: one that works.
    """
    pipe(**call)
    found = []
    parameters = [
        name for name in inspect.signature(type(pipe).__call__).parameters if name != "self"
    ]
    for name in parameters:
        for label, value in ODD.items():
            flaw = _flaw(pipe, {**call, name: value}, name, label)
            if flaw is not None:
                found.append(f"{name} = {label}: {flaw}")
    return found


def _flaw(pipe: Any, call: dict[str, Any], name: str, label: str) -> str | None:
    try:
        with bounded():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch.nn.Module, "__call__", _accepted)
                with suppress(Accepted):
                    pipe(**call)
            case = (type(pipe).__module__.partition(".")[0], name, label)
            if case not in _made:
                _made.add(case)
                pipe(**call)
    except AutopipeError as error:
        said = str(error)
        if not isinstance(error, ValueError):
            return f"{type(error).__name__} is not a ValueError"
        return None if _names(name, said) else f"the refusal doesn't name it: {said[:200]}"
    except BaseException as error:
        if "callback" in name and callable(call[name]):
            # An error of the user's own code, which passes as it is.
            return None
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None


def _accepted(self: Any, *args: Any, **kwargs: Any) -> None:
    raise Accepted


def _names(name: str, said: str) -> bool:
    other = {"adapters": "attachment"}.get(name, name.removeprefix("prior_"))
    return name in said or other in said


@contextmanager
def bounded() -> Iterator[None]:
    """Stop with an error what takes too long or too much memory."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"took more than {_SECONDS} s")

    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    alarm = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
