"""Writes results with the settings that generated them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.cli.requirements import installed_version
from autopipe.cli.text import as_json as json_of
from autopipe.cli.text import say
from autopipe.errors import PluginError
from autopipe.registry import Registry
from autopipe.tasks import Input, Task
from autopipe.wording import clean

from . import results
from .inputs import FILES, word
from .request import Request
from .values import parameters_of

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from autopipe.pipeline.base import DiffusionPipeline

_FRAME_RATE, _SAMPLING_RATE = 8, 16_000
"""Frames and samples per second, if neither output nor pipeline has the rate."""


def settings_of(
    request: Request, pipe: DiffusionPipeline, call: Mapping[str, Any], registry: Registry
) -> dict[str, Any]:
    """Return the settings that all results share, including defaults of the pipeline."""
    used = _values_of(pipe, call)
    cls = type(pipe).__name__
    dist = registry.resolve(cls).plugin.dist
    added = [registry.conditions[keyword] for keyword in request.conditions]
    added += [registry.entry("addon", name) for name in request.addons]
    inputs = {
        **dict.fromkeys((one for owner in added for one in owner.inputs), ""),
        **request.inputs,
    }
    found = {
        "prompt": None,
        "negative_prompt": used("negative_prompt"),
        **_of_a_stage(pipe, call),
        "strength": used("strength"),
        **request.conditions,
        **{_key(one): _setting(one, text, used) for one, text in inputs.items()},
        **request.set,
        "attach": ", ".join(request.attach) or None,
        "fast": ", ".join(n for n in request.fast if n in pipe.attachments) or None,
        "engine": ", ".join(request.engine) or None,
        "paste_unmasked": used("paste_unmasked"),
        "model": request.model,
        "task": None if request.task is None else request.task.value,
        "class": cls,
        "dtype": str(pipe.dtype).removeprefix("torch."),
        "device": str(pipe._execution_device),
        **{name: installed_version(name) for name in ("autopipe-core", dist, "torch")},
        "commit": request.commit,
        **{stage: origin for stage, origin in pipe.origins.items() if stage},
    }
    return {name: value for name, value in found.items() if value is not None}


def settings_of_stages(
    request: Request, stages: Sequence[tuple[DiffusionPipeline, Mapping[str, Any]]]
) -> dict[str, str]:
    """Return the settings of the stages that enlarge images, each as a list of all stages."""
    if not stages:
        return {}
    found = [_of_a_stage(pipe, call) for pipe, call in stages]
    names = [f"{s.model}@{s.commit}" if s.commit else s.model for s in request.upscale]
    return {
        "upscale": ", ".join(names),
        **{f"upscale_{n}": ", ".join(str(one[n]) for one in found) for n in found[0]},
    }


def _key(one: Input) -> str:
    return word(one).removeprefix("--").replace("-", "_").lower()


def _setting(one: Input, text: str, used: Callable[[str], Any]) -> Any:
    return Path(text).name or None if one.kind in FILES else used(one.name)


def _of_a_stage(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, Any]:
    used, scheduler = _values_of(pipe, call), getattr(pipe, "scheduler", None)
    return {
        "steps": used("num_inference_steps"),
        "guidance": used("guidance_scale"),
        "scheduler": None if scheduler is None else type(scheduler).__name__,
    }


def _values_of(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return a function from an argument's name to its value or default; None if it has none."""
    parameters = parameters_of(type(pipe))
    return lambda name: call.get(name, parameters[name].default if name in parameters else None)


def write(
    request: Request, pipe: DiffusionPipeline, outputs: Sequence[Any], common: Mapping[str, Any]
) -> list[tuple[Path, dict[str, Any]]]:
    """Write each result of `outputs` into a file; return the files with their settings.

    Several images come with a contact sheet.

    Raises:
        PluginError: if the output of the pipeline lacks the field of its task.
    """
    field = _field(request.task, pipe, outputs[0])
    read: Callable[[Any], Sequence[Any]] = _READ.get(field, _arrays)
    made = [one for output in outputs for one in read(getattr(output, field))]
    target = request.output.with_suffix(results.suffix_of(field))
    rates = {
        name: getattr(outputs[0], name, None) or getattr(pipe, name, None) or usual
        for name, usual in (("frame_rate", _FRAME_RATE), ("sampling_rate", _SAMPLING_RATE))
    }
    files = results.single_names(target, len(made))
    seeds = [request.seed + i for i in range(request.count)]
    if len(made) != request.count:
        seeds = [request.seed] * len(made)
    done: list[tuple[Any, Path, Any]] = list(zip(made, files, seeds))
    if field == "images" and len(made) > 1:
        done.append((results.contact_sheet(made), target, f"{seeds[0]} to {seeds[-1]}"))
    return [
        (file, results.write(file, field, one, {**common, "seed": seed}, rates))
        for one, file, seed in done
    ]


def _field(task: Task | None, pipe: DiffusionPipeline, output: Any) -> str:
    """Return the field of an output that has the results."""
    names = [task.output] if task else [*results.FIELDS, *getattr(output, "__dict__", ())]
    found = next((name for name in names if getattr(output, name, None) is not None), None)
    if found is None:
        what = task.output if task else "result"
        raise PluginError(f"the output of {type(pipe).__name__} has no {what}; update its package")
    return found


def _pictures(images: Any) -> list[Image]:
    """Return a list of images, converted if they are an array (N, H, W, C) in [0, 1]."""
    from autopipe.utils import numpy_to_pil

    is_done = isinstance(images, (list, tuple)) and hasattr(images[0], "save")
    return list(images) if is_done else numpy_to_pil(_array(images))


def _clips(frames: Any) -> list[list[Image]]:
    """Return a list of images for each clip, from lists or arrays, or from a single clip."""
    is_one = isinstance(frames, (list, tuple)) and hasattr(frames[0], "save")
    return [_pictures(clip) for clip in ([frames] if is_one else frames)]


def _arrays(values: Any) -> list[np.ndarray]:
    return [_array(one) for one in values]


def _array(values: Any) -> np.ndarray:
    import numpy as np
    import torch

    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype is torch.bfloat16 else values).numpy()
    return np.asarray(values)


_READ: Mapping[str, Callable[[Any], Sequence[Any]]] = {"images": _pictures, "frames": _clips}


def print_result(written: list[tuple[Path, dict[str, Any]]], *, as_json: bool) -> None:
    """Print the files, one per line, or as JSON with their settings."""
    if as_json:
        say(json_of([{"file": str(file), **settings} for file, settings in written]))
    else:
        say("\n".join(clean(str(file), keep="") for file, _ in written))
