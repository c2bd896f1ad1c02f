"""From the names on a command line to pipelines on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ..registry import Registry
from ..tasks import Task
from .checkpoint import open_checkpoint
from .request import Request

if TYPE_CHECKING:
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

    device = pick_device(asked.device)
    opener: Any = {
        Task.TEXT2IMAGE: auto.AutoPipelineForText2Image,
        Task.IMAGE2IMAGE: auto.AutoPipelineForImage2Image,
        Task.INPAINT: auto.AutoPipelineForInpainting,
    }[asked.task]
    options = _options(asked, commit)
    if asked.controlnet is not None:
        dtype = {} if asked.dtype is None else {"torch_dtype": asked.dtype}
        controlnet = registry.load("ControlNetModel").from_pretrained(asked.controlnet, **dtype)
        options["controlnet"] = controlnet
    pipe = opener.from_pretrained(asked.model, **options)
    if asked.controlnet is not None:
        # With "auto" its files may have another dtype than those of the checkpoint.
        controlnet.to(pipe.unet.dtype)
    pipe.to(device)
    if asked.scheduler is not None:
        if getattr(pipe, "scheduler", None) is None:
            raise ArgumentError(f"{type(pipe).__name__} has no scheduler; leave out --scheduler")
        pipe.scheduler = registry.load(asked.scheduler).from_config(pipe.scheduler.config)
    return pipe


def load_stage_for(
    name: str, asked: Request, first: DiffusionPipeline, commit: str | None
) -> DiffusionPipeline:
    """The pipeline that enlarges what `first` makes, on its device."""
    from ..cascade import load_stage

    options = _options(asked, commit)
    return load_stage(name, after=first, task=asked.task, **options).to(first.device)


def _options(asked: Request, commit: str | None) -> dict[str, Any]:
    """How to load a checkpoint, as far as it was said."""
    wanted = {"torch_dtype": asked.dtype, "variant": asked.variant, "revision": commit}
    return {name: value for name, value in wanted.items() if value is not None}


def pick_device(name: str | None) -> str:
    """The device called `name`; without a name an accelerator if there is one.

    Raises:
        ArgumentError: there is no such device here.
    """
    import torch

    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    here = [f"cuda:{i}" for i in range(torch.cuda.device_count())] + here
    if name is None:
        return here[0]
    if (f"{name}:0" if name == "cuda" else name) not in here:
        raise ArgumentError(f"there is no device {name!r} here; there are {', '.join(here)}")
    return name
