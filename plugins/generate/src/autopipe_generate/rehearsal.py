"""A call of the pipeline without its weights, so that a mistake is known before they are read.

The pipeline itself knows what it takes: sizes, steps, strengths, pictures. It is made of the
checkpoint's configs alone, with networks on `meta`, and called; where the first of them would
compute, all arguments have been checked and the rehearsal ends.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from autopipe.errors import ArgumentError
from autopipe.registry import Registry
from autopipe.resolution.targets import load_target

from .loading import class_of, options_of, set_scheduler
from .request import Request


class _Reached(Exception):
    """A network was about to compute."""


def rehearse(asked: Request, call: Mapping[str, Any], registry: Registry) -> None:
    """Refuse a call that the pipeline would refuse, while nothing heavy has been loaded.

    Args:
        call: its arguments.

    Raises:
        ArgumentError: as the pipeline says.
    """
    from autopipe.pipeline.base import DiffusionPipeline

    cls = class_of(asked, registry)
    if not issubclass(cls, DiffusionPipeline):
        return
    with _quietly():
        try:
            pipe = _outline(cls, asked, registry)
            set_scheduler(pipe, asked, registry)
            if asked.engine:
                # Which networks there are; what an engine makes of them needs their weights.
                pipe.use_engine({t.partition("=")[0]: None for t in asked.engine if "=" in t})
            # What an add-on brings can't be known without its weights.
            if not asked.attach:
                networks = [n for n in pipe.components.values() if hasattr(n, "modules")]
                for module in (module for network in networks for module in network.modules()):
                    module.register_forward_pre_hook(_stop)
                pipe(**call)
        except ArgumentError:
            raise
        except Exception:
            return  # Whatever else is wrong is said when the pipeline is loaded and called.


def _outline(cls: Any, asked: Request, registry: Registry) -> Any:
    from autopipe.checkpoint.checkpoint import Checkpoint
    from autopipe.checkpoint.outline import outline, outline_model

    added = {
        keyword: outline_model(load_target(registry.conditions[keyword].target or ""), model, {})
        for keyword, model in asked.conditions.items()
    }
    options = options_of(asked, asked.commit)
    keywords = {**options, **asked.stages, **added}
    return outline(Checkpoint.open(asked.model, keywords, registry).plan(cls))


def _stop(module: object, inputs: object) -> None:
    raise _Reached


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the warnings that the call itself gives again."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
