"""Describes how a result was drawn, as far as it can change the last bits or explains it."""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from packaging.requirements import Requirement

from autopipe.cli.requirements import installed_version
from autopipe.registry import Registry
from autopipe.resolution.hints import CORE
from autopipe.resolution.packages import readable

from .opening import Ready
from .record import Circumstances
from .request import Request
from .signatures import takes_of


def circumstances(
    request: Request, ready: Ready, call: Mapping[str, Any], registry: Registry
) -> Circumstances:
    """Return how the result of a call is drawn here and now.

    Args:
        call: the arguments of the call.
    """
    pipe = ready.pipe
    return here(request, type(pipe).__name__, pipe._execution_device, registry).model_copy(
        update={
            "dtype": str(pipe.dtype).removeprefix("torch."),
            "used": _used(request, ready, call, registry),
        }
    )


def here(
    request: Request, class_name: str, device: torch.device, registry: Registry
) -> Circumstances:
    """Return how a result would be drawn here and now, as far as it is known without weights."""
    device = torch.device(device)
    is_cpu = device.type == "cpu"
    return Circumstances(
        pipeline=class_name,
        device=device.type,
        processor=processor_of(device),
        instructions=torch.backends.cpu.get_cpu_capability() if is_cpu else "",
        threads=torch.get_num_threads() if is_cpu else 0,
        versions=versions_of(request, class_name, registry),
    )


def versions_of(request: Request, class_name: str, registry: Registry) -> dict[str, str]:
    """Return the versions of the packages that take part in drawing a request, by name."""
    engines = request.engine.values() if isinstance(request.engine, dict) else [request.engine]
    providers = [
        registry.resolve(class_name).plugin,
        *(registry.provider("addon", one.addon) for one in request.addons),
        *(registry.provider("engine", name) for name in engines if name),
        *(registry.provider("keyword", keyword) for keyword in request.conditions),
    ]
    drawing = {
        plugin.dist
        for name, plugin in registry.plugins.items()
        if registry.families[name].components or registry.families[name].pipelines
    }
    dists = {CORE, "torch"}
    for dist in {plugin.dist for plugin in providers if plugin is not None}:
        dists |= {dist, *(one for one in _needed_by(dist) if one in drawing)}
    found = {name: installed_version(name) for name in sorted(dists)}
    return {name: version for name, version in found.items() if version is not None}


@functools.cache
def _needed_by(dist: str) -> tuple[str, ...]:
    """Return the packages that a distribution requires."""
    with suppress(Exception):  # not installed, or damaged metadata
        needed = [Requirement(text) for text in readable(dist).requires or ()]
        return tuple(r.name for r in needed if r.marker is None)
    return ()


@functools.cache
def processor_of(device: torch.device) -> str:
    """Return the name of a processor or an accelerator."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type != "cpu":
        return device.type
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _used(
    request: Request, ready: Ready, call: Mapping[str, Any], registry: Registry
) -> dict[str, Any]:
    """Return settings that decide the result, whether they were given or are defaults."""
    found = {**_of_stage(ready.pipe, call), **_of_others(request, ready.pipe, call, registry)}
    stages = [_of_stage(p, one.arguments) for p, one in zip(ready.stages, request.upscale)]
    for name, short in (("num_inference_steps", "steps"), ("guidance_scale", "guidance")):
        if stages:
            found[f"upscale_{short}"] = [one.get(name) for one in stages]
    if stages:
        found["upscale_scheduler"] = [one.get("scheduler") for one in stages]
    return found


def _of_stage(pipe: Any, call: Mapping[str, Any]) -> dict[str, Any]:
    names = ("num_inference_steps", "guidance_scale", "strength", "negative_prompt")
    found = _values(pipe, call, names)
    scheduler = getattr(pipe, "scheduler", None)
    return found if scheduler is None else {**found, "scheduler": type(scheduler).__name__}


def _of_others(
    request: Request, pipe: Any, call: Mapping[str, Any], registry: Registry
) -> dict[str, Any]:
    """Return the inputs of conditions and add-ons, and the other stages of a chain."""
    owners = [registry.conditions[keyword] for keyword in request.conditions]
    owners += [registry.entry("addon", one.addon) for one in request.addons]
    inputs = [one.name for owner in owners for one in owner.inputs]
    stages = {stage: origin for stage, origin in pipe.origins.items() if stage}
    return {**_values(pipe, call, inputs), **stages}


def _values(pipe: Any, call: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the values or defaults of arguments, as far as they are plain."""
    parameters = takes_of(type(pipe))
    found = {n: call.get(n, parameters[n].default) for n in names if n in parameters}
    plain = (str, int, float, bool)
    return {name: one for name, one in found.items() if isinstance(one, plain)}
