"""An engine that changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from autopipe import NetworkEngine


class Scripted(NetworkEngine):
    """Calls the network."""

    name = "traced"

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        """The method itself."""
        found: Callable[..., Any] = getattr(network, method)
        return found
