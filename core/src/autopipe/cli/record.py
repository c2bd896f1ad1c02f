"""What a picture tells of how it was made, and the files that tell it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..registry import Registry
from .names import single_names
from .request import Request
from .requirements import installed_version

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..pipeline.base import DiffusionPipeline


def settings_of(
    asked: Request, pipe: DiffusionPipeline, call: Mapping[str, Any], registry: Registry
) -> dict[str, Any]:
    """What all pictures of this run have in common, defaults of the pipeline included."""
    used = _values_of(pipe, call)
    cls = type(pipe).__name__
    dist = registry.resolve(cls).plugin.dist
    found = {
        "prompt": asked.prompt,
        "negative_prompt": asked.negative,
        **_of_a_stage(pipe, call),
        "strength": None if asked.image is None else used("strength"),
        "image": asked.image and Path(asked.image).name,
        "mask": asked.mask and Path(asked.mask).name,
        "controlnet": asked.controlnet,
        "control_image": asked.control_image and Path(asked.control_image).name,
        "control_scale": used("controlnet_conditioning_scale"),
        "paste_unmasked": used("paste_unmasked"),
        "model": asked.model,
        "task": asked.task.value,
        "class": cls,
        "dtype": str(pipe.dtype).removeprefix("torch."),
        "device": str(pipe._execution_device),
        **{name: installed_version(name) for name in ("autopipe-core", dist, "torch")},
    }
    return {name: value for name, value in found.items() if value is not None}


def settings_of_stages(
    stages: Sequence[tuple[DiffusionPipeline, Mapping[str, Any]]],
) -> dict[str, str]:
    """The same for what enlarges pictures: pipelines and arguments of their calls, in a row."""
    found = [_of_a_stage(pipe, call) for pipe, call in stages]
    return {
        f"upscale_{name}": ", ".join(str(one[name]) for one in found)
        for name in (found[0] if found else ())
    }


def _of_a_stage(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
    used, scheduler = _values_of(pipe, call), getattr(pipe, "scheduler", None)
    return {
        "steps": used("num_inference_steps"),
        "guidance": used("guidance_scale"),
        "scheduler": None if scheduler is None else type(scheduler).__name__,
    }


def _values_of(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> Callable[[str], Any]:
    """The values of a call's arguments by name, defaults included; None for what it lacks."""
    parameters = inspect.signature(type(pipe).__call__).parameters
    return lambda name: call.get(name, parameters[name].default if name in parameters else None)


def write(
    asked: Request, images: list[Image], common: Mapping[str, Any]
) -> list[tuple[Path, dict[str, Any]]]:
    """Write every picture, and the sheet of several; the files with their settings."""
    from .pictures import contact_sheet, write_png

    files = single_names(asked.output, len(images))
    written = []
    for i, (image, file) in enumerate(zip(images, files)):
        settings = {**common, "seed": asked.seed + i, "size": f"{image.width}x{image.height}"}
        write_png(image, file, settings)
        written.append((file, settings))
    if len(images) > 1:
        sheet = contact_sheet(images)
        last = asked.seed + len(images) - 1
        settings = {
            **common,
            "seed": f"{asked.seed} to {last}",
            "size": f"{sheet.width}x{sheet.height}",
        }
        write_png(sheet, asked.output, settings)
        written.append((asked.output, settings))
    return written


def print_result(written: list[tuple[Path, dict[str, Any]]], *, as_json: bool) -> None:
    """Print the files, a line each, or as JSON with their settings."""
    if as_json:
        print(json.dumps([{"file": str(file), **settings} for file, settings in written], indent=2))
    else:
        print("\n".join(str(file) for file, _ in written))
