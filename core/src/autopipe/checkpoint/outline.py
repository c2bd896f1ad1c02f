"""Builds pipelines without weights, to check calls before weights are fetched and read."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import ArgumentError
from ..kinds import BaseNetwork
from ..registry import default_registry
from .address import open_source
from .build import WithoutMemory
from .foreign import models
from .load import load_component, made_from
from .options import LoadOptions, split_keywords
from .plan import Part, Plan
from .source import Source


def outline(plan: Plan) -> Any:
    """Build the pipeline of a plan with its networks on `meta`, reading only small files.

    Raises:
        CheckpointError: if a file is absent.
        ConfigError: if a config is malformed or not valid for its class.
    """
    cls, index = plan.cls, plan.index
    stored = {n: one for n, one in index.options.items() if n in cls.init_parameters()}
    absent = dict.fromkeys(cls.module_names())
    return cls(**{**stored, **absent, **_parts(plan), **plan.given})


def rehearse(pipe: Any, call: Mapping[str, Any]) -> bool:
    """Call the outline of a pipeline until its first network is called, to check the arguments.

    Args:
        call: the arguments, without generators, which belong to a real device.

    Returns:
        Whether a network was called. Errors other than `ArgumentError` are suppressed, because
        the missing weights may have caused them.

    Raises:
        ArgumentError: if the pipeline refuses the arguments.
    """
    networks = [one for one in pipe.components.values() if hasattr(one, "modules")]
    for module in (module for network in networks for module in network.modules()):
        module.register_forward_pre_hook(_stop)
    with _quietly():
        try:
            pipe(**call)
        except _Reached:
            return True
        except ArgumentError:
            raise
        except Exception:
            return False
    return False


class _Reached(Exception):
    """Raised when a network is called."""


def _stop(module: object, inputs: object) -> None:
    raise _Reached


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress the warnings, which the real call repeats."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def outline_model(cls: Any, path: str | Path, keywords: Mapping[str, Any]) -> Any:
    """Build a single network on `meta`; arguments as for its `from_pretrained`."""
    options, _ = split_keywords(keywords)
    source = open_source(path, options.hub, default_registry())
    return _network(cls, source, ())


def _parts(plan: Plan) -> dict[str, Any]:
    weights = [part.files.weights.files for part in plan.parts.values() if part.files.weights]
    heavy = {file.path for files in weights for file in files}
    plan.source.fetch([item.path for item in plan.items if item.path not in heavy])
    parts = {name: _part(part, plan.source, plan.options) for name, part in plan.parts.items()}
    for name, (joined, names) in plan.several.items():
        parts[name] = joined([parts.pop(part) for part in names])
    if plan.stage is not None:
        parts.update({f"{plan.keyword}_{n}": one for n, one in _parts(plan.stage).items()})
    return parts


def _part(part: Part, source: Source, options: LoadOptions) -> Any:
    if part.files.weights is None:
        return load_component(part.cls, source, part.files, options)[0]
    return _network(part.cls, source, part.files.folder)


def _network(cls: Any, source: Source, folder: tuple[str, ...]) -> Any:
    ours = issubclass(cls, BaseNetwork)
    config = source.json("/".join((*folder, str(cls.config_name) if ours else "config.json")))
    make = made_from if ours else models.build
    with WithoutMemory():
        return make(cls, config, source.root.joinpath(*folder)).eval()
