"""From the names on a command line to pipelines on a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autopipe.errors import ArgumentError
from autopipe.registry import Registry
from autopipe.resolution.targets import load_target
from autopipe.sizes import parse_size

from .request import Request, Stage

if TYPE_CHECKING:
    import torch

    from autopipe.pipeline.base import DiffusionPipeline


def class_of(asked: Request, registry: Registry) -> type:
    """The pipeline class that is going to be used."""
    conditions = dict.fromkeys(asked.conditions, True)
    return registry.resolve(asked.class_name, asked.task, conditions).load_class()


def load_for(asked: Request, registry: Registry) -> DiffusionPipeline:
    """The pipeline as it was asked for, on its device."""
    from autopipe.auto import auto_class
    from autopipe.pipeline.base import DiffusionPipeline

    device_of(asked)  # A mistake is known before the weights are read.
    opener: Any = DiffusionPipeline if asked.task is None else auto_class(asked.task)
    dtype = {} if asked.dtype is None else {"torch_dtype": asked.dtype}
    added = {
        keyword: load_target(registry.conditions[keyword].target or "").from_pretrained(
            model, **dtype
        )
        for keyword, model in asked.conditions.items()
    }
    options = options_of(asked, asked.commit)
    pipe: Any = opener.from_pretrained(asked.model, **options, **asked.stages, **added)
    for model in added.values():
        # With "auto" its files may have another dtype than those of the checkpoint.
        model.to(pipe.dtype)
    set_scheduler(pipe, asked, registry)
    for text in asked.attach:
        name, _, source = text.partition("=")
        pipe.attach(name, source or None)
    place(pipe, asked)
    if asked.engine:
        chosen = dict(text.split("=", 1) for text in asked.engine if "=" in text)
        pipe.use_engine(chosen or asked.engine[0])
    loaded: DiffusionPipeline = pipe
    return loaded


def load_stage_for(
    stage: Stage, asked: Request, before: Sequence[DiffusionPipeline], registry: Registry
) -> DiffusionPipeline:
    """The pipeline that enlarges what those `before` it make, placed as they are."""
    from autopipe.cascade import load_stage

    task = {} if asked.task is None else {"task": asked.task}
    options: dict[str, Any] = {**options_of(asked, stage.commit), **task}
    pipe: DiffusionPipeline = load_stage(stage.model, after=before[0], **options)
    set_scheduler(pipe, stage, registry)
    place(pipe, asked, before)
    return pipe


def place(
    pipe: DiffusionPipeline, asked: Request, before: Sequence[DiffusionPipeline] = ()
) -> None:
    """Put the networks of `pipe` where they were asked to be.

    Args:
        before: the pipelines of earlier stages. What they keep on the device is less for this one.
    """
    device = device_of(asked)
    if asked.memory is not None:
        budget: int | str = asked.memory
        held = sum(b.placement.size for b in before if b.placement.title == "resident")
        if held and budget != "auto":
            budget = max(1, parse_size(budget) - held)
        pipe.fit_memory(budget, device=device, offload_folder=asked.offload_folder)
    elif asked.offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif asked.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.to(device)


def set_scheduler(pipe: DiffusionPipeline, stage: Stage, registry: Registry) -> None:
    """Give `pipe` the scheduler that was asked for, made from the config of its own.

    Raises:
        ArgumentError: it has none.
    """
    if stage.scheduler is not None:
        if getattr(pipe, "scheduler", None) is None:
            raise ArgumentError(f"{type(pipe).__name__} has no scheduler; leave out --scheduler")
        pipe.scheduler = registry.load(stage.scheduler).from_config(pipe.scheduler.config)


def options_of(asked: Request, commit: str | None) -> dict[str, Any]:
    """How to load a checkpoint, as far as it was said."""
    wanted = {"torch_dtype": asked.dtype, "variant": asked.variant, "revision": commit}
    return {name: value for name, value in wanted.items() if value is not None}


def device_of(asked: Request) -> torch.device:
    """Where to compute: the device asked for, else an accelerator if there is one.

    Raises:
        ArgumentError, PlacementError: there is no such device, or not here; or there is no
            accelerator to offload from, and no other device is asked for.
    """
    from autopipe.placement.devices import check_here, devices_here, offload_device, parse_device

    if asked.device is not None:
        device = parse_device(asked.device, "--device")
    elif asked.offload is not None:
        device = offload_device(None, None, None)
    else:
        device = parse_device(devices_here()[0])
    check_here(device)
    return device
