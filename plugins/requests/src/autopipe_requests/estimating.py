"""Estimates what a request takes, from the small files of its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autopipe.placement.base import bytes_of
from autopipe.placement.room import footprints_of
from autopipe.registry import Registry

from .checking import class_of
from .rehearsal import class_name_of, outline_of
from .request import Request


@dataclass(frozen=True)
class Estimate:
    """What a request takes.

    Attributes:
        cls: the class of its pipeline.
        weights: the bytes of all weights.
        work: the bytes of the activations of one image of the default size.
        size: the default width and height in pixels; None if the pipeline has none.
    """

    cls: Any
    weights: int
    work: int
    size: tuple[int, int] | None


def estimate(request: Request, registry: Registry, *, local_only: bool = False) -> Estimate:
    """Return an estimate of the memory that a request takes, without reading weights.

    Args:
        local_only: whether only what is on this machine is used.

    Raises:
        AutopipeError: if a small file of the checkpoint is absent or not valid.
    """
    name = class_name_of(request.checkpoint, registry, local_only)
    cls = class_of(name, request.task, request.conditions, registry)
    pipe = outline_of(cls, request, registry, local_only)
    pipes = [pipe]
    for stage in request.upscale:
        alone = Request(checkpoint=stage.checkpoint, seed=0)
        name = class_name_of(stage.checkpoint, registry, local_only)
        pipes.append(outline_of(registry.resolve(name).load_class(), alone, registry, local_only))
    weights, works = 0, [0]
    for one in pipes:
        networks = {n: part for n, part in one.components.items() if hasattr(part, "parameters")}
        weights += sum(map(bytes_of, networks.values()))
        works += [part.work for part in footprints_of(networks, {})]
    default = getattr(pipe, "default_size", None)
    height, width = default() if callable(default) else (0, 0)
    return Estimate(cls, weights, max(works), (width, height) if height and width else None)
