"""Remembers which engine was measured to be the fastest for a network on this machine."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from autopipe.attaching.engine import NetworkEngine
from autopipe.regular import opened, replaced
from autopipe.wording import logger, reason

from .fingerprint import fingerprint
from .topologies import cache_folder

_log = logger(__name__)

AUTO = "auto"
"""The name of the engine that chooses one of the others."""

_MOST = 1000
_LARGEST = 1 << 20


class Choices:
    """The remembered choices, in a file that belongs to the user.

    Args:
        file: the file; by default `autopipe/choices.json` in the folder for caches.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or cache_folder().parent / "choices.json"

    def find(self, key: str) -> str | None:
        """Return the engine that was chosen for a key, or None."""
        found = self._read().get(key)
        return found if isinstance(found, str) else None

    def add(self, key: str, engine: str) -> None:
        """Remember the engine for a key; the oldest of very many choices are forgotten."""
        kept = {name: one for name, one in self._read().items() if name != key}
        kept = dict([*kept.items(), (key, engine)][-_MOST:])
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with replaced(self.file) as file:
                file.write_text(json.dumps(kept), encoding="utf-8")
        except OSError as error:
            _log.warning("the choice of an engine can't be remembered: %s", reason(error))

    def _read(self) -> dict[str, Any]:
        try:
            with opened(self.file, _LARGEST) as stream:
                found = json.load(stream)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def key_of(
    network: nn.Module,
    method: str,
    shapes: object,
    engines: Mapping[str, NetworkEngine | str],
) -> str:
    """Return the key of a choice: a hash of all that the speed depends on.

    Args:
        shapes: the shapes of the inputs.
        engines: those from which to choose, by name.
    """
    first = next(network.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    versions = [(n, one if isinstance(one, str) else one.version()) for n, one in engines.items()]
    machine = (processor(device), torch.get_num_threads(), torch.__version__)
    weights = dict(network.named_parameters())
    return fingerprint(network, weights, method, str(shapes), machine, sorted(versions))


def processor(device: torch.device) -> str:
    """Return the name of the processor on which `device` computes."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return str(device)
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as stream:
        for line in stream:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
