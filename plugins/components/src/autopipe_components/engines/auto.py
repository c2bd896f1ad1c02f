"""Provides `auto`, the engine that uses the fastest of the others."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from torch import nn

from autopipe.attaching.engine import NetworkEngine
from autopipe.attaching.recorder import NetworkCall, tensors_in
from autopipe.manifest import EAGER
from autopipe.wording import listed, logger

from .choosing import AUTO, Choices, key_of
from .measuring import Measured, best, installed_engines, measure

_log = logger(__name__)


class Auto(NetworkEngine):
    """Engine that runs each network, at each size, by the installed engine that is the fastest.

    What `autopipe tune` measured on this machine is used at once. Where nothing is known, eager
    mode runs the network until that has taken `patience` seconds, which shows that measuring is
    worth it. Then the engines are measured in the middle of the call, and the choice is remembered.
    The log tells both.

    Args:
        engines: the names of the engines from which to choose; by default all that are installed.
        patience: how many seconds of eager mode precede measuring; `inf` never measures.
        seconds: the time that measuring a network at one size may take.
    """

    name = AUTO
    bitwise_in_threads: ClassVar[bool] = False

    def __init__(
        self, engines: Sequence[str] = (), patience: float = 10.0, seconds: float = 60.0
    ) -> None:
        self.patience, self.seconds = patience, seconds
        self._names = tuple(engines)
        self.engines: Mapping[str, NetworkEngine | str] = installed_engines(engines)
        usable = [one for one in self.engines.values() if isinstance(one, NetworkEngine)]
        self.tolerance = max((one.tolerance for one in usable), default=type(self).tolerance)
        self.choices = Choices()
        self._components = weakref.WeakKeyDictionary[nn.Module, str]()
        self._choosers = weakref.WeakKeyDictionary[nn.Module, weakref.WeakSet[_Chooser]]()

    def __reduce__(self) -> Any:
        return Auto, (self._names, self.patience, self.seconds)

    def refuses(self, component: str, network: nn.Module) -> str | None:
        if not any(isinstance(one, NetworkEngine) for one in self.engines.values()):
            return "no other engine is installed"
        self._components[network] = component
        return None

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        chooser = _Chooser(self, network, method, self._components.get(network, "network"))
        self._choosers.setdefault(network, weakref.WeakSet()).add(chooser)
        return chooser

    def explain(self, network: nn.Module) -> str:
        """Return the engines that were chosen, by method."""
        return ", ".join(
            f"{chooser.method} by {listed(chooser.engines) or 'eager mode until it is measured'}"
            for chooser in self._choosers.get(network, ())
        )

    def release(self, network: nn.Module) -> None:
        self._choosers.pop(network, None)
        for engine in self.engines.values():
            if isinstance(engine, NetworkEngine):
                engine.release(network)


class _Chooser:
    """Runs a method of a network by what was chosen for the size of its inputs.

    Attributes:
        engines: the names of what was chosen, for any size.
    """

    def __init__(self, auto: Auto, network: nn.Module, method: str, component: str) -> None:
        self._auto, self.method, self._component = auto, method, component
        self._network = network
        self._spent: dict[str, float] = {}
        self._keys: dict[str, str] = {}
        self._functions: dict[str, Callable[..., Any]] = {EAGER: getattr(network, method)}
        self._chosen: dict[str, Callable[..., Any]] = {}
        self.engines: dict[str, None] = {}
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        shapes = str([tuple(one.shape) for one in tensors_in((args, kwargs))])
        function = self._chosen.get(shapes)
        # While one thread measures or prepares, the others go on in eager mode.
        if function is None and self._lock.acquire(blocking=False):
            try:
                function = self._chosen.get(shapes) or self._find(shapes, args, kwargs)
            finally:
                self._lock.release()
        if function is not None:
            return function(*args, **kwargs)
        started = time.perf_counter()
        made = self._functions[EAGER](*args, **kwargs)
        self._spent[shapes] = self._spent.get(shapes, 0.0) + time.perf_counter() - started
        return made

    def _find(self, shapes: str, args: Any, kwargs: Any) -> Callable[..., Any] | None:
        """Return the function for inputs of these shapes; None if nothing is known yet."""
        auto = self._auto
        key = self._keys.get(shapes)
        engine = None
        if key is None:
            key = self._keys[shapes] = key_of(self._network, self.method, shapes, auto.engines)
            engine = auto.choices.find(key)
        if engine is None and self._spent.get(shapes, 0.0) >= auto.patience:
            engine = self._measure(NetworkCall(self._network, self.method, args, kwargs))
            auto.choices.add(key, engine)
        if engine is None:
            return None
        self._chosen[shapes] = function = self._function(engine)
        self.engines[engine] = None
        return function

    def _measure(self, call: NetworkCall) -> str:
        auto, what = self._auto, f"{self._component}.{self.method}"
        _log.warning(
            "auto measures the engines for %s, which takes up to %.0f s; `autopipe tune` does so "
            "before",
            *(what, auto.seconds),
        )
        found = measure(self._component, call, auto.engines, auto.seconds)
        # The functions that were measured have been released.
        self._functions = {EAGER: self._functions[EAGER]}
        self._chosen.clear()
        chosen = best(found)
        _log.warning("auto runs %s by %s from now on: %s", what, chosen, _told(found))
        return chosen

    def _function(self, name: str) -> Callable[..., Any]:
        if name not in self._functions:
            engine = self._auto.engines.get(name)
            why: str | None = "it is not usable"
            if isinstance(engine, NetworkEngine):
                why = engine.refuses(self._component, self._network)
            if not isinstance(engine, NetworkEngine) or why is not None:
                _log.warning("%s doesn't run %s now: %s", name, self._component, why)
                return self._functions[EAGER]
            self._functions[name] = engine.prepare(self._network, self.method)
        return self._functions[name]


def _told(found: Sequence[Measured]) -> str:
    return ", ".join(
        f"{one.engine} {one.why or f'{one.ratio:.2f} of the time'}"
        for one in found
        if one.engine != EAGER
    )
