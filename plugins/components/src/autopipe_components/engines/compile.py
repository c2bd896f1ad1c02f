"""torch.compile as an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from autopipe.attaching.engine import NetworkEngine
from autopipe.errors import ArgumentTypeError
from autopipe.wording import shown


class Compile(NetworkEngine):
    """Compiles the methods of a network that calls use, each in the first call that needs it.

    The network itself, its attributes and what is saved stay unchanged.

    Args:
        **options: those of `torch.compile`, such as `mode`, `backend` or `dynamic`.

    Raises:
        ArgumentTypeError: `torch.compile` has no such option.
    """

    name = "compile"

    def __init__(self, **options: Any) -> None:
        known = ("backend", "dynamic", "fullgraph", "mode", "options")
        for name in options:
            if name not in known:
                raise ArgumentTypeError(
                    f"the engine compile has no option {shown(name)}; it has {', '.join(known)}"
                )
        self.options = options

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        compiled: Callable[..., Any] = torch.compile(getattr(network, method), **self.options)
        return compiled
