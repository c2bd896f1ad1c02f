"""A call of the pipeline without its weights, so that a mistake is known before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopipe.errors import ArgumentError, AutopipeError
from autopipe.registry import Registry
from autopipe.resolution.targets import load_target

from .loading import class_of, options_of, set_scheduler
from .request import Request


def check_call(asked: Request, call: Mapping[str, Any], registry: Registry) -> None:
    """Refuse what the pipeline would refuse of a call, while nothing heavy has been loaded.

    Args:
        call: its arguments.

    Raises:
        ArgumentError: as the pipeline says.
    """
    from autopipe.checkpoint.outline import rehearse
    from autopipe.pipeline.base import DiffusionPipeline

    cls = class_of(asked, registry)
    if not issubclass(cls, DiffusionPipeline):
        return
    try:
        pipe = _outline(cls, asked, registry)
        set_scheduler(pipe, asked, registry)
        # Which networks there are; what an engine makes of them needs their weights.
        pipe.use_engine({t.partition("=")[0]: None for t in asked.engine if "=" in t})
    except ArgumentError:
        raise
    except AutopipeError:
        return  # It is said when the pipeline is loaded.
    if not asked.attach:  # What an add-on brings can't be known without its weights.
        rehearse(pipe, call)


def _outline(cls: Any, asked: Request, registry: Registry) -> Any:
    from autopipe.checkpoint.checkpoint import Checkpoint
    from autopipe.checkpoint.outline import outline, outline_model

    added = {
        keyword: outline_model(load_target(registry.conditions[keyword].target or ""), model, {})
        for keyword, model in asked.conditions.items()
    }
    keywords = {**options_of(asked, asked.commit), **asked.stages, **added}
    return outline(Checkpoint.open(asked.model, keywords, registry).plan(cls))
