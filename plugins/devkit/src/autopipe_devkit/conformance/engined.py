"""The subject of the checks of an engine: how to make the engine, and what it runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autopipe.attaching.engine import EngineRefusal, NetworkEngine
from autopipe.attaching.recorder import NetworkCall, Recorder, difference, tensors_in
from autopipe.wording import logger

from .subject import Subject


@dataclass
class Engined:
    """An engine, and the pipelines of a checkpoint that it runs.

    Attributes:
        make: makes the engine.
        subjects: a pipeline for each task of the checkpoint; most checks use the first.
    """

    make: Callable[[], NetworkEngine]
    subjects: tuple[Subject, ...]

    @property
    def subject(self) -> Subject:
        """The first pipeline."""
        return self.subjects[0]

    def calls(self, subject: Subject | None = None, **changes: Any) -> list[NetworkCall]:
        """Return how a call in eager mode asks the networks, once for each network and method."""
        asked = subject or self.subject
        pipe, recorder = asked.load(), Recorder()
        asked.result(pipe.use_engine(recorder), **changes)
        found = {(call.network, call.method): call for call in recorder.calls}
        return list(found.values())

    def name_in(self, subject: Subject, network: nn.Module) -> str:
        """Return a name of `network` for messages."""
        return f"the {type(network).__name__} of {subject.pipeline.name}"

    def run(self, engine: NetworkEngine, call: NetworkCall) -> Callable[..., Any] | None:
        """Return what `engine` prepares for a call; None if it refuses."""
        if engine.refuses("network", call.network) is not None:
            return None
        try:
            prepared = engine.prepare(call.network, call.method)
            call.by(prepared)
        except EngineRefusal:
            return None
        return prepared


def apart(found: Any, expected: Any, tolerance: float) -> str | None:
    """Return how an output differs from the expected one by more than `tolerance`; else None."""
    if type(found) is not type(expected):
        return f"the output is a {type(found).__name__}, not a {type(expected).__name__}"
    if [one.dtype for one in tensors_in(found)] != [one.dtype for one in tensors_in(expected)]:
        return "the tensors of the output have other dtypes"
    away = difference(found, expected)
    if away == float("inf"):
        return "the tensors of the output have other shapes"
    if not away <= tolerance:
        return f"it is {away:.2g} away, more than its tolerance of {tolerance:.2g}"
    return None


@contextmanager
def warned(name: str = "autopipe") -> Iterator[list[str]]:
    """Context manager that collects the warnings that are logged."""
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Handler(logging.WARNING)
    watched = logger(name)
    watched.addHandler(handler)
    try:
        yield found
    finally:
        watched.removeHandler(handler)


class Forks(nn.Module):
    """A network whose way depends on a value, which what is traced once can't follow."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return one of two layers of `x`."""
        chosen: Tensor = self.one(x) if x.sum() > 0 else self.other(x)
        return chosen


def change_weights(network: nn.Module) -> None:
    """Change all weights of `network` in place."""
    made = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in network.parameters():
            noise = torch.empty(weight.shape).normal_(0, 0.1, generator=made)
            weight.add_(noise.to(weight) * weight.abs().mean())
