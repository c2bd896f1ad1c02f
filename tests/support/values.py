"""Tries every kind of value for every parameter of a call: it works, or the error names it.

The parameters come from the signature, and their meaning isn't used, so new pipeline classes need
no further code.
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
"""The time limit of a call; calls take milliseconds."""

_MEMORY = 4 * 2**30
"""The limit of additional bytes that a call may map; calls take a few MB."""

_made: set[tuple[str, str, str]] = set()
"""The completed calls: package, parameter and value."""


class Accepted(Exception):
    """Raised when a network is called, after the arguments were checked."""


def flaws_of(pipe: Any, call: Mapping[str, Any]) -> list[str]:
    """Return the flaws in how `pipe` treats values of each parameter, one line each.

    An accepted value is used in a complete call once per family, not for each of its classes.

    Args:
        call: the arguments of a call that works.
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
            # Errors of the user's own code propagate unchanged.
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
    """Context manager that raises an error if its block takes too much time or memory."""

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
