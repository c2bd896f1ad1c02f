"""Checks the call of a request on a pipeline without weights, so that mistakes are found early."""

from __future__ import annotations

from typing import Any

from autopipe.checkpoint.checkpoint import Checkpoint
from autopipe.checkpoint.outline import outline, outline_model, rehearse
from autopipe.checkpoint.single_file import open_pipeline
from autopipe.cli.checkpoint import open_checkpoint
from autopipe.errors import ArgumentError, AutopipeError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import Registry
from autopipe.resolution.targets import load_target

from .checking import class_of
from .drawing import arguments_of
from .opening import options_of, set_scheduler
from .request import Checkpoint as Named
from .request import Request


def check_call(
    request: Request, class_name: str, registry: Registry, *, local_only: bool = False
) -> None:
    """Check the arguments of a request before weights are loaded.

    Args:
        class_name: the class that the checkpoint names.
        local_only: whether only what is on this machine is used.

    Raises:
        ArgumentError: if the pipeline refuses the arguments.
        ImageFileError: if a file can't be read.
    """
    cls = class_of(class_name, request.task, request.conditions, registry)
    call = arguments_of(request, cls, registry, allow_addresses=not local_only)
    if not issubclass(cls, DiffusionPipeline):
        return
    try:
        pipe = outline_of(cls, request, registry, local_only)
        set_scheduler(pipe, request.scheduler, registry)
        if isinstance(request.engine, dict):
            # This only checks the names of networks; engines need their weights.
            pipe.use_engine(dict.fromkeys(request.engine))
    except ArgumentError:
        raise
    except AutopipeError:
        return  # Loading the pipeline reports it.
    if not request.addons:  # Add-ons need their weights.
        rehearse(pipe, call)


def class_name_of(checkpoint: Named, registry: Registry, local_only: bool = False) -> str:
    """Return the class that a checkpoint names.

    Raises:
        AutopipeError: if it can't be opened.
    """
    if checkpoint.config is None:
        opened = open_checkpoint(
            checkpoint.name, registry, checkpoint.commit, local_only=local_only
        )
        return opened.index.class_name
    kept = {"local_files_only": True} if local_only else {}
    single = open_pipeline(checkpoint.name, {"config": checkpoint.config, **kept}, registry)
    return single.index.class_name


def outline_of(cls: Any, request: Request, registry: Registry, local_only: bool = False) -> Any:
    """Return the pipeline of a request, of the class `cls`, with networks that have no weights.

    Args:
        local_only: whether only what is on this machine is used.

    Raises:
        AutopipeError: if a small file of the checkpoint is absent or not valid.
    """
    named = request.checkpoint
    kept = {"local_files_only": True} if local_only else {}
    added = {
        keyword: outline_model(
            load_target(registry.conditions[keyword].target or ""), one.name, kept
        )
        for keyword, one in request.conditions.items()
        if not isinstance(one, bool)
    }
    keywords = {**options_of(named, named, local_only), **request.stages, **added}
    if named.config is None:
        checkpoint = Checkpoint.open(named.name, keywords, registry)
    else:
        checkpoint = open_pipeline(named.name, {"config": named.config, **keywords}, registry)
    return outline(checkpoint.plan(cls))
