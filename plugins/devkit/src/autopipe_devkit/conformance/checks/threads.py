"""Checks of calls at the same time: none sees anything of another."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import nn

from ..subject import Subject, quiet

THREADS = 4
PATIENCE = 3.0
"""Seconds after which a call is taken to wait for the end of the other."""


def threads(subject: Subject) -> None:
    """Calls in several threads give bitwise what they give one after another."""
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
    """Two calls with different arguments that take turns in each layer don't disturb each other."""
    pipe = subject.load()
    calls = [subject.arguments(0), _mirrored(subject.arguments(1, second=True))]

    def run(number: int, **more: Any) -> np.ndarray:
        # Generators are drawn from, so each call gets a new one.
        seeded = subject.arguments(number)
        fresh = {n: seeded[n] for n in ("generator",) if n in calls[number] and n in seeded}
        return subject.result(pipe, number, **{**calls[number], **fresh, **more})

    alone = [run(0), run(1)]
    turns = _Turns()
    with turns.in_every_layer(), quiet(), ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda number: turns.of(lambda: run(number)), (0, 1)))
    for one, other in zip(alone, together):
        assert np.array_equal(one, other), (
            f"two calls at the same time disturb each other in {subject.task}: something of a "
            f"call is kept where another one sees it"
        )
    subject.notes.abilities["threads"] = "yes" if turns.taken else "one call after another"


def _mirrored(arguments: dict[str, Any]) -> dict[str, Any]:
    """The same arguments with the pictures in them turned around."""
    return {
        name: ImageOps.mirror(one) if isinstance(one, Image.Image) else one
        for name, one in arguments.items()
    }


class _Turns:
    """Lets two calls go on only together, from layer to layer, until one of them has ended."""

    def __init__(self) -> None:
        self._barrier, self._members = threading.Barrier(2), set[int]()
        self.taken = 0

    def of(self, call: Any) -> Any:
        """What `call` returns; it is one of the two."""
        self._members.add(threading.get_ident())
        try:
            self._meet()
            return call()
        finally:
            self._barrier.abort()

    @contextlib.contextmanager
    def in_every_layer(self) -> Iterator[None]:
        """Inside, both wait for each other before and after the forward of every module."""
        hooks = nn.modules.module
        handles = (
            hooks.register_module_forward_pre_hook(lambda module, given: self._meet()),
            hooks.register_module_forward_hook(lambda module, given, made: self._meet(1)),
        )
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _meet(self, counted: int = 0) -> None:
        if threading.get_ident() not in self._members:
            return
        with contextlib.suppress(threading.BrokenBarrierError):
            self._barrier.wait(PATIENCE)
            self.taken += counted
