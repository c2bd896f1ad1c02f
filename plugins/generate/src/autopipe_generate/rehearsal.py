"""Checks a call on a pipeline without weights, so that mistakes are reported early."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopipe.errors import ArgumentError, AutopipeError
from autopipe.registry import Registry
from autopipe.resolution.targets import load_target

from .loading import class_of, options_of, set_scheduler
from .request import Request


def check_call(request: Request, call: Mapping[str, Any], registry: Registry) -> None:
    """Check the arguments of a call before weights are loaded.

    Args:
        call: the arguments.

    Raises:
        ArgumentError: if the pipeline refuses the arguments.
    """
    from autopipe.checkpoint.outline import rehearse
    from autopipe.pipeline.base import DiffusionPipeline

    cls = class_of(request, registry)
    if not issubclass(cls, DiffusionPipeline):
        return
    try:
        pipe = _outline(cls, request, registry)
        set_scheduler(pipe, request, registry)
        # This only checks the names of networks; engines need their weights.
        pipe.use_engine({t.partition("=")[0]: None for t in request.engine if "=" in t})
    except ArgumentError:
        raise
    except AutopipeError:
        return  # Loading the pipeline reports it.
    if not request.addons:  # Add-ons need their weights.
        rehearse(pipe, call)


def _outline(cls: Any, request: Request, registry: Registry) -> Any:
    from autopipe.checkpoint.checkpoint import Checkpoint
    from autopipe.checkpoint.outline import outline, outline_model
    from autopipe.checkpoint.single_file import open_pipeline

    added = {
        keyword: outline_model(load_target(registry.conditions[keyword].target or ""), model, {})
        for keyword, model in request.conditions.items()
    }
    keywords = {**options_of(request, request.commit), **request.stages, **added}
    if request.config is None:
        checkpoint = Checkpoint.open(request.model, keywords, registry)
    else:
        checkpoint = open_pipeline(request.model, {"config": request.config, **keywords}, registry)
    return outline(checkpoint.plan(cls))
