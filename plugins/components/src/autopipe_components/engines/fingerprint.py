"""Identifies what a network computes, apart from the values of its weights."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import Tensor, nn

from autopipe.attaching.engine import plain_attributes


def fingerprint(network: nn.Module, weights: Mapping[str, Tensor], *further: object) -> str:
    """Return a hash of the classes, settings and code of a network, and the shapes of its weights.

    It changes with the version of each package that the network's classes come from, and with the
    files that define them.

    Args:
        further: what else the result depends on; anything with a `repr` that tells it.
    """
    modules = []
    classes: set[type] = set()
    for name, module in network.named_modules():
        cls = type(module)
        classes.update(cls.__mro__)
        plain = sorted(plain_attributes(module).items())
        modules.append((name, cls.__module__, cls.__qualname__, plain))
    shapes = [(name, str(one.dtype), tuple(one.shape)) for name, one in weights.items()]
    config: Any = getattr(network, "config", None)
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    settings = json.dumps(
        dict(config) if isinstance(config, Mapping) else None, sort_keys=True, default=str
    )
    # Sorted, since the order of a set differs from process to process.
    names = {cls.__module__ for cls in classes}
    code = sorted((name, _stamp(name)) for name in names)
    packages = sorted((name, _release(name)) for name in {n.partition(".")[0] for n in names})
    text = repr((modules, shapes, settings, code, packages, further))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:40]


def _stamp(module: str) -> Any:
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        found = os.stat(file or "")
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _release(package: str) -> str:
    try:
        return version(package.replace("_", "-"))
    except PackageNotFoundError:
        return ""
