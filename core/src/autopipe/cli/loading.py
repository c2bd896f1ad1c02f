"""From the names on a command line to pipelines on a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ..registry import Registry
from ..sizes import parse_size
from ..tasks import Task
from .checkpoint import open_checkpoint
from .request import Request, Stage

if TYPE_CHECKING:
    import torch

    from ..pipeline.base import DiffusionPipeline


def look_up(asked: Request, registry: Registry) -> str | None:
    """Make sure that the checkpoint can do the task; the commit where it is a repository's.

    Done before anything heavy is imported, so that a mistake is known at once.
    """
    checkpoint = open_checkpoint(asked.model, registry, asked.revision)
    condition = {} if asked.controlnet is None else {"controlnet": True}
    registry.resolve(checkpoint.index.class_name, asked.task, condition)
    return checkpoint.commit


def look_up_stage(name: str, registry: Registry) -> str | None:
    """Make sure that an installed family opens the checkpoint; its commit, as in `look_up`."""
    checkpoint = open_checkpoint(name, registry)
    registry.resolve(checkpoint.index.class_name)
    return checkpoint.commit


def load_for(asked: Request, registry: Registry, commit: str | None) -> DiffusionPipeline:
    """The pipeline for the task, on its device, with the scheduler asked for."""
    from .. import auto

    device_of(asked)  # A mistake is known before the weights are read.
    opener: Any = {
        Task.TEXT2IMAGE: auto.AutoPipelineForText2Image,
        Task.IMAGE2IMAGE: auto.AutoPipelineForImage2Image,
        Task.INPAINT: auto.AutoPipelineForInpainting,
    }[asked.task]
    options = _options(asked, commit)
    if asked.prior is not None:
        options["prior"] = asked.prior
    if asked.controlnet is not None:
        dtype = {} if asked.dtype is None else {"torch_dtype": asked.dtype}
        controlnet = registry.load("ControlNetModel").from_pretrained(asked.controlnet, **dtype)
        options["controlnet"] = controlnet
    pipe = opener.from_pretrained(asked.model, **options)
    if asked.controlnet is not None:
        # With "auto" its files may have another dtype than those of the checkpoint.
        controlnet.to(pipe.unet.dtype)
    _set_scheduler(pipe, asked, registry)
    place(pipe, asked)
    return pipe


def load_stage_for(
    stage: Stage,
    asked: Request,
    before: Sequence[DiffusionPipeline],
    registry: Registry,
    commit: str | None,
) -> DiffusionPipeline:
    """The pipeline that enlarges what those `before` it make, placed as they are."""
    from ..cascade import load_stage

    options = _options(asked, commit)
    pipe = load_stage(stage.model, after=before[0], task=asked.task, **options)
    _set_scheduler(pipe, stage, registry)
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


def _set_scheduler(pipe: DiffusionPipeline, stage: Stage, registry: Registry) -> None:
    if stage.scheduler is not None:
        if getattr(pipe, "scheduler", None) is None:
            raise ArgumentError(f"{type(pipe).__name__} has no scheduler; leave out --scheduler")
        pipe.scheduler = registry.load(stage.scheduler).from_config(pipe.scheduler.config)


def _options(asked: Request, commit: str | None) -> dict[str, Any]:
    """How to load a checkpoint, as far as it was said."""
    wanted = {"torch_dtype": asked.dtype, "variant": asked.variant, "revision": commit}
    return {name: value for name, value in wanted.items() if value is not None}


def device_of(asked: Request) -> torch.device:
    """Where to compute: the device asked for, else an accelerator if there is one.

    Raises:
        ArgumentError, PlacementError: there is no such device, or not here; or there is no
            accelerator to offload from, and no other device is asked for.
    """
    from ..placement.devices import check_here, devices_here, offload_device, parse_device

    if asked.device is not None:
        device = parse_device(asked.device, "--device")
    elif asked.offload is not None:
        device = offload_device(None, None, None)
    else:
        device = parse_device(devices_here()[0])
    check_here(device)
    return device
