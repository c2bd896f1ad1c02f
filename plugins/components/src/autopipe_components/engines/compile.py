"""Provides `torch.compile` as an engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from autopipe.attaching.engine import NetworkEngine
from autopipe.errors import ArgumentTypeError
from autopipe.wording import shown


class Compile(NetworkEngine):
    """Engine that compiles the network methods that calls use, each when a call first needs it.

    The network itself, its attributes and what is saved are unchanged.

    Args:
        **options: keyword arguments of `torch.compile`, such as `mode`, `backend` or `dynamic`.

    Raises:
        ArgumentTypeError: if `torch.compile` doesn't have one of the options.
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
