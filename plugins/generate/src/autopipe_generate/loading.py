"""Loads the requested pipelines and places them on a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from autopipe.errors import ArgumentError
from autopipe.registry import Registry
from autopipe.resolution.targets import load_target
from autopipe.sizes import parse_size

from .inputs import source_of
from .request import Request, Stage

if TYPE_CHECKING:
    import torch

    from autopipe.pipeline.base import DiffusionPipeline


def class_of(request: Request, registry: Registry) -> type:
    """Return the pipeline class for the request."""
    conditions = dict.fromkeys(request.conditions, True)
    return registry.resolve(request.class_name, request.task, conditions).load_class()


def load_for(request: Request, registry: Registry) -> DiffusionPipeline:
    """Load the requested pipeline on its device."""
    from autopipe.auto import auto_class
    from autopipe.pipeline.base import DiffusionPipeline

    device_of(request)  # Report mistakes before reading weights.
    opener: Any = DiffusionPipeline if request.task is None else auto_class(request.task)
    dtype = {} if request.dtype is None else {"torch_dtype": request.dtype}
    added = {
        keyword: load_target(registry.conditions[keyword].target or "").from_pretrained(
            model, **dtype
        )
        for keyword, model in request.conditions.items()
    }
    options = options_of(request, request.commit)
    if request.config is None:
        pipe: Any = opener.from_pretrained(request.model, **options, **request.stages, **added)
    else:
        pipe = opener.from_single_file(request.model, config=request.config, **options, **added)
    for model in added.values():
        # With "auto", its files may have another dtype than those of the checkpoint.
        model.to(pipe.dtype)
    set_scheduler(pipe, request, registry)
    for number, text in enumerate(request.attach):
        addon, source, strength = source_of(text)
        count = sum(source_of(one)[0] == addon for one in request.attach[:number])
        name = f"{addon}_{count + 1}" if count else None
        pipe.attach(addon, source, name=name, strength=strength)
    _attach_fast(pipe, request)
    place(pipe, request)
    if request.engine:
        chosen = dict(text.split("=", 1) for text in request.engine if "=" in text)
        pipe.use_engine(chosen or request.engine[0])
    loaded: DiffusionPipeline = pipe
    return loaded


def _attach_fast(pipe: Any, request: Request) -> None:
    """Attach the add-ons that make results faster, as far as they fit the pipeline.

    Raises:
        ArgumentError: if none fits.
    """
    refusals = []
    for name in request.fast:
        try:
            pipe.attach(name)
        except ArgumentError as error:
            refusals.append(str(error))
    if request.fast and len(refusals) == len(request.fast):
        raise ArgumentError(f"leave out --fast: {'; '.join(refusals)}")


def load_stage_for(
    stage: Stage, request: Request, before: Sequence[DiffusionPipeline], registry: Registry
) -> DiffusionPipeline:
    """Load the pipeline that enlarges the images of those `before` it, and place it."""
    from autopipe.cascade import load_stage

    task = {} if request.task is None else {"task": request.task}
    options: dict[str, Any] = {**options_of(request, stage.commit), **task}
    pipe: DiffusionPipeline = load_stage(stage.model, after=before[0], **options)
    set_scheduler(pipe, stage, registry)
    place(pipe, request, before)
    return pipe


def place(
    pipe: DiffusionPipeline, request: Request, before: Sequence[DiffusionPipeline] = ()
) -> None:
    """Place the networks of `pipe` as requested.

    Args:
        before: the pipelines of earlier stages, whose resident weights reduce the budget.
    """
    device = device_of(request)
    if request.memory is not None:
        budget: int | str = request.memory
        held = sum(b.placement.size for b in before if b.placement.title == "resident")
        if held and budget != "auto":
            budget = max(1, parse_size(budget) - held)
        pipe.fit_memory(budget, device=device, offload_folder=request.offload_folder)
    elif request.offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif request.offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.to(device)


def set_scheduler(pipe: DiffusionPipeline, stage: Stage, registry: Registry) -> None:
    """Set the requested scheduler of `pipe`, created from the config of its current one.

    Raises:
        ArgumentError: if the pipeline has no scheduler.
    """
    if stage.scheduler is not None:
        if getattr(pipe, "scheduler", None) is None:
            raise ArgumentError(f"{type(pipe).__name__} has no scheduler; leave out --scheduler")
        pipe.scheduler = registry.load(stage.scheduler).from_config(pipe.scheduler.config)


def options_of(request: Request, commit: str | None) -> dict[str, Any]:
    """Return the requested options of loading a checkpoint."""
    wanted = {"torch_dtype": request.dtype, "variant": request.variant, "revision": commit}
    return {name: value for name, value in wanted.items() if value is not None}


def device_of(request: Request) -> torch.device:
    """Return the device of calls: the requested one, else an accelerator if there is one.

    Raises:
        ArgumentError: if there is no such type of device.
        PlacementError: if the device is not available, or offloading is requested without a
            device and there is no accelerator.
    """
    from autopipe.placement.devices import check_here, devices_here, offload_device, parse_device

    if request.device is not None:
        device = parse_device(request.device, "--device")
    elif request.offload is not None:
        device = offload_device(None, None, None)
    else:
        device = parse_device(devices_here()[0])
    check_here(device)
    return device
