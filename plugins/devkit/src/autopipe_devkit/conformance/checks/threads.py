"""Checks of concurrent calls: they don't affect each other."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from torch import nn

from autopipe.errors import AutopipeError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.placement.base import networks_of

from ..subject import Subject, quiet

THREADS = 4
PATIENCE = 1.0
"""The seconds after which the other call counts as blocked."""


def threads(subject: Subject) -> None:
    """Calls in several threads give bitwise the same results as one after another."""
    pipe = subject.load()

    def run(number: int) -> np.ndarray:
        return subject.result(pipe, number, second=number % 2 == 1)

    serial = [run(number) for number in range(2 * THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        parallel = list(pool.map(run, range(2 * THREADS)))
    assert all(np.array_equal(one, other) for one, other in zip(serial, parallel)), (
        f"calls in several threads disturb each other in {subject.task}"
    )


def overlap(subject: Subject) -> None:
    """Two calls with different arguments, run in lockstep by layer, don't affect each other."""
    pipe = subject.load()
    others = _compatible(subject, pipe)

    def call(number: int) -> np.ndarray:
        return subject.result(pipe, number, **(others if number else {}))

    turns = _Turns(pipe)
    alone = [turns.alone(call, number) for number in (0, 1)]
    turns.meet()
    with quiet(), ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda number: turns.together(call, number), (0, 1)))
    for one, other in zip(alone, together):
        assert np.array_equal(one, other), (
            f"two calls at the same time disturb each other in {subject.task}: something of a "
            f"call is kept where another one sees it"
        )
    subject.notes.abilities["threads"] = "yes" if turns.met else "no: one call waits for the other"


def _compatible(subject: Subject, pipe: DiffusionPipeline) -> dict[str, Any]:
    """Return other values of as many arguments as can be combined in one call."""
    wanted = subject.alternatives()
    try:
        subject.output(pipe, 1, **wanted)
        return wanted
    except AutopipeError:
        found: dict[str, Any] = {}
    for name, value in wanted.items():
        with contextlib.suppress(AutopipeError):
            subject.output(pipe, 1, **found, **{name: value})
            found[name] = value
    return found


Place = tuple[object, bool]
"""A module, and whether its forward has run. Modules that a call creates count by class."""


class _Turns:
    """Runs two calls in lockstep, layer by layer.

    State that both calls set before a layer is thus set by both before either reads it afterwards.
    """

    def __init__(self, pipe: DiffusionPipeline) -> None:
        networks = networks_of(pipe.components).items()
        self._owners: dict[object, str] = {
            one: name for name, network in networks for one in network.modules()
        }
        self._ways: tuple[list[Place], list[Place]] = [], []
        self.met = False

    def alone(self, call: Callable[[int], Any], number: int) -> Any:
        """Return the result of `call(number)`, and record its way through the layers."""
        with self._everywhere(self._ways[number].append):
            return call(number)

    def meet(self) -> None:
        """Find the places where both ways meet; one may be longer, for example with more steps."""
        blocks = SequenceMatcher(None, *self._ways, autojunk=False).get_matching_blocks()
        pairs = [(b.a + n, b.b + n) for b in blocks for n in range(b.size)]
        self._barriers = [
            {pair[number]: barrier for pair, barrier in zip(pairs, barriers)}
            for barriers in [[threading.Barrier(2) for _ in pairs]]
            for number in (0, 1)
        ]

    def together(self, call: Callable[[int], Any], number: int) -> Any:
        """Return the result of `call(number)`, while the other call runs in another thread."""
        passed, alone_in = itertools.count(), ""

        def wait(place: Place) -> None:
            nonlocal alone_in
            barrier = self._barriers[number].get(next(passed))
            if barrier is None:
                return
            owner = self._owners.get(place[0], "")
            if owner and owner == alone_in:
                barrier.abort()
                return
            try:
                barrier.wait(PATIENCE)
                self.met, alone_in = True, ""
            except threading.BrokenBarrierError:
                # Calls may use a network one after the other, such as a text encoder that is
                # called while its tokenizer is locked.
                alone_in = owner

        try:
            with self._everywhere(wait):
                return call(number)
        finally:
            for barrier in self._barriers[number].values():
                barrier.abort()

    @contextlib.contextmanager
    def _everywhere(self, do: Callable[[Place], Any]) -> Iterator[None]:
        """Context manager: this thread calls `do` before and after the forward of every module."""
        thread, hooks = threading.get_ident(), nn.modules.module

        def tell(module: nn.Module, after: bool) -> None:
            if threading.get_ident() == thread:
                do((module if module in self._owners else type(module), after))

        handles = (
            hooks.register_module_forward_pre_hook(lambda module, given: tell(module, False)),
            hooks.register_module_forward_hook(lambda module, given, made: tell(module, True)),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
