"""What engines prepared for the networks of a pool."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from torch import nn

from ..attaching.engine import EngineRefusal, NetworkEngine, asking


class Form:
    """The functions that an engine prepared for one network, by method.

    Attributes:
        refused: the reasons why it could not prepare some methods.
    """

    def __init__(self, engine: NetworkEngine, network: nn.Module) -> None:
        self._engine, self._network = engine, network
        self._functions: dict[str, Callable[..., Any]] = {}
        self.refused: dict[str, str] = {}

    def function(self, method: str) -> Callable[..., Any]:
        """Return the function for a method, which is prepared at its first use.

        Raises:
            EngineRefusal: if the engine can't prepare it.
        """
        if method in self.refused:
            raise EngineRefusal(self.refused[method])
        if method not in self._functions:
            try:
                with asking(self._engine):
                    self._functions[method] = self._engine.prepare(self._network, method)
            except EngineRefusal as refusal:
                self.refused[method] = str(refusal)
                raise
        return self._functions[method]

    @property
    def methods(self) -> list[str]:
        """The methods that are prepared."""
        return list(self._functions)

    def release(self) -> None:
        """Release everything."""
        if self._functions:
            self._functions.clear()
            with asking(self._engine):
                self._engine.release(self._network)


class Prepared:
    """The form of each network for the engine that runs it, with the state that it depends on."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._forms: dict[nn.Module, tuple[Form, object]] = {}

    def renew(self, network: nn.Module, engine: NetworkEngine) -> None:
        """Release the form of `network` if that has changed in the meantime."""
        with self._lock, asking(engine):
            state = engine.depends_on(network)
            found = self._forms.get(network)
            if found is None or found[1] != state:
                self.release(network)
                self._forms[network] = Form(engine, network), state

    def form(self, network: nn.Module) -> Form | None:
        """Return the form of `network`, if there is one."""
        return self._forms.get(network, (None, None))[0]

    def release(self, network: nn.Module) -> None:
        """Release the form of `network`, if there is one."""
        with self._lock:
            form, _ = self._forms.pop(network, (None, None))
            if form is not None:
                form.release()

    def release_all(self) -> None:
        """Release all forms."""
        for network in list(self._forms):
            self.release(network)
