"""Draws requests: calls their pipelines and returns the results with their records."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.errors import PluginError
from autopipe.registry import Registry
from autopipe.tasks import Task

from . import writing
from .checking import ADAPTERS, SIZE
from .circumstances import circumstances
from .models import arguments_model
from .opening import Pipelines, Ready
from .record import Record
from .request import Request
from .schema import call_arguments
from .signatures import takes_of
from .stepping import Step, stepping

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

_FRAME_RATE, _SAMPLING_RATE = 8, 16_000
"""Frames and samples per second, if neither output nor pipeline has the rate."""

_RESAMPLING = {"image": "LANCZOS", "mask": "NEAREST"}
_BLACKENED = ("nsfw_content_detected", "nsfw_detected", "watermark_detected")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One result.

    Attributes:
        field: the field of the output that it comes from: `images` for an image, `frames` for a
            list of images, `audios` for an array (samples,) or (channels, samples) in [-1, 1], or
            another one for an array of any shape.
        value: the result.
        record: its request, and how it was drawn.
        rates: `frame_rate` and `sampling_rate`.
        blackened: whether a safety checker replaced it.
    """

    field: str
    value: Any
    record: Record
    rates: Mapping[str, int]
    blackened: bool = False

    @property
    def suffix(self) -> str:
        """The usual suffix of its file."""
        return writing.suffix_of(self.field)

    def save(self, path: str | Path) -> Path:
        """Write the result with its record into a file, atomically; return the path.

        An existing file is replaced; missing folders are created. The suffix decides the format.

        Raises:
            ImageFileError: if the file can't be written, or the format doesn't fit the result.
        """
        return writing.write(Path(path), self.field, self.value, self.record, self.rates)


def draw(
    requests: Sequence[Request],
    pipelines: Pipelines,
    *,
    listed: bool = False,
    cancellation: Any = None,
    before: Callable[[Ready], object] | None = None,
    on_step: Callable[[Step], object] | None = None,
) -> list[Drawn]:
    """Draw requests that use the same pipeline; return a result for each.

    Several are drawn in one call if the pipeline can do that: if they differ only in their seeds
    or, for tasks without input files, also in prompts and negative prompts. Their results then
    equal those of single calls within the tolerance of floating-point numbers.

    Args:
        requests: the requests.
        pipelines: where their pipelines are kept.
        listed: whether equal prompts are a list, too, as different ones are.
        cancellation: an event that stops the calls when it is set.
        before: a function that receives the pipeline before its call, for example to configure its
            progress bar.
        on_step: a function that receives each denoising step of the calls, of pipelines that call
            a function after each step. It doesn't change the results.

    Raises:
        AutopipeError: if a pipeline can't be opened, or refuses the call.
        CancelledError: if `cancellation` is set.
        PluginError: if the output lacks the field of its task.
    """
    registry = pipelines.registry
    ready = pipelines.of(requests[0])
    if before is not None:
        before(ready)
    several = _several(requests, ready, registry, listed)
    drawn: list[Drawn] = []
    for group in [requests] if several else [[one] for one in requests]:
        call = call_of(group[0], ready, registry, allow_addresses=not pipelines.local_only)
        _add_rows(call, group, ready, several)
        whole = call if cancellation is None else {**call, "cancellation": cancellation}
        if group[0].upscale:
            output = _cascaded(group[0], ready, whole, on_step)
        else:
            output = ready.pipe(**whole, **stepping(ready.pipe, on_step))
        drawn += _results(group, ready, output, call, registry, listed=several is LISTED)
    return drawn


LISTED = "prompt"
"""In place of the parameter for the number of results: a list of prompts."""

_TEXTS = ("prompt", "negative_prompt")


def _several(
    requests: Sequence[Request], ready: Ready, registry: Registry, listed: bool
) -> str | None:
    """Return the parameter by which one call draws all the requests; None if none can."""
    first, *others = requests
    takes, task = takes_of(type(ready.pipe)), _task_of(first, registry)
    repeats = "num_images_per_prompt" if first.upscale else task and task.repeats
    if not others or repeats is None or not {"generator", repeats} <= {*takes}:
        return None
    if not listed and all(one.with_seed(first.seed) == first for one in others):
        return repeats
    has_files = any(isinstance(value, dict) for value in first.arguments.values())
    if first.upscale or has_files or "prompt" not in takes:
        return None
    same = [(_without_texts(one), {*_TEXTS} & one.arguments.keys()) for one in requests]
    return LISTED if all(one == same[0] for one in same) else None


def _without_texts(request: Request) -> Request:
    rest = {name: one for name, one in request.arguments.items() if name not in _TEXTS}
    return request.model_copy(update={"arguments": rest, "seed": 0})


def _add_rows(
    call: dict[str, Any], requests: Sequence[Request], ready: Ready, several: str | None
) -> None:
    """Add to the arguments of the first request what makes the results of all of them."""
    import torch

    # One generator for each result, on the CPU: every one can be reproduced on any device.
    generators = [torch.Generator().manual_seed(one.seed) for one in requests]
    if "generator" in takes_of(type(ready.pipe)):
        call["generator"] = generators if several else generators[0]
    if several is LISTED:
        for name in {*_TEXTS} & call.keys():
            call[name] = [one.arguments[name] for one in requests]
    elif several:
        call[several] = len(requests)


def call_of(
    request: Request, ready: Ready, registry: Registry, *, allow_addresses: bool = True
) -> dict[str, Any]:
    """Return the arguments of the call of a request, without a generator.

    Args:
        allow_addresses: whether images may be fetched from the internet.

    Raises:
        ArgumentError: if a file has changed.
        ImageFileError: if a file can't be read.
    """
    return arguments_of(
        request, type(ready.pipe), registry, ready.labels, allow_addresses=allow_addresses
    )


def arguments_of(
    request: Request,
    cls: Any,
    registry: Registry,
    labels: Mapping[str, str] | None = None,
    *,
    allow_addresses: bool = True,
) -> dict[str, Any]:
    """Return the arguments for a call of `cls`, without a generator.

    Args:
        labels: the names of the attachments, by the names in the request.
        allow_addresses: whether images may be fetched from the internet.

    Raises:
        ArgumentError: if a file has changed.
        ImageFileError: if a file can't be read.
    """
    from PIL.Image import Resampling

    task = _task_of(request, registry)
    inputs = [*(task.inputs if task else ())]
    inputs += [i for n in request.conditions for i in registry.conditions[n].inputs]
    inputs += [ADAPTERS] if request.addons else []
    inputs += [i for one in request.addons for i in registry.entry("addon", one.addon).inputs]
    model = arguments_model((cls,), task, inputs)
    call = call_arguments(request.arguments, model, None, allow_addresses=allow_addresses)
    takes = takes_of(cls)
    if request.size is not None:
        for one in task.inputs if task else inputs:
            if one.kind in _RESAMPLING and one.name in call:
                how = Resampling[_RESAMPLING[one.kind]]
                call[one.name] = call[one.name].resize(request.size, how)
        if {*SIZE} <= {*takes}:
            call |= dict(zip(SIZE, request.size))
    if labels and isinstance(call.get("adapters"), Mapping):
        call["adapters"] = {labels.get(n, n): one for n, one in call["adapters"].items()}
    return call


def _task_of(request: Request, registry: Registry) -> Task | None:
    return None if request.task is None else registry.task(request.task)


def _cascaded(
    request: Request,
    ready: Ready,
    call: dict[str, Any],
    on_step: Callable[[Step], object] | None,
) -> Any:
    """Return the output of the last stage; `call` has the arguments of the first."""
    from autopipe.cascade import cascade

    named = inspect.signature(cascade).parameters
    shared = {name: value for name, value in call.items() if name in named}
    own = {name: value for name, value in call.items() if name not in named}
    pipes = [ready.pipe, *ready.stages]
    given = [own, *(stage.arguments for stage in request.upscale)]
    options = [{**one, **stepping(pipe, on_step)} for one, pipe in zip(given, pipes)]
    for one, pipe in zip(options, pipes):
        if "cancellation" in own and "cancellation" in takes_of(type(pipe)):
            one["cancellation"] = own["cancellation"]
    return cascade(pipes, **shared, options=options)


def _results(
    requests: Sequence[Request],
    ready: Ready,
    output: Any,
    call: Mapping[str, Any],
    registry: Registry,
    *,
    listed: bool,
) -> list[Drawn]:
    pipe = ready.pipe
    field = _field(_task_of(requests[0], registry), pipe, output)
    read: Callable[[Any], Sequence[Any]] = _READ.get(field, _arrays)
    made = read(getattr(output, field))
    if len(requests) > 1 and len(made) != len(requests):
        raise PluginError(
            f"{type(pipe).__name__} returned {len(made)} results for {len(requests)} requests; "
            f"draw them one by one"
        )
    rates = {
        name: getattr(output, name, None) or getattr(pipe, name, None) or usual
        for name, usual in (("frame_rate", _FRAME_RATE), ("sampling_rate", _SAMPLING_RATE))
    }
    flags = [getattr(output, name, None) for name in _BLACKENED]
    blackened = [any(flagged) for flagged in zip(*filter(None, flags))]
    found = []
    for row, value in enumerate(made):
        request = requests[row if len(requests) > 1 else 0]
        drawn = circumstances(request, ready, call, registry).model_copy(
            update={"rows": len(requests), "row": row, "listed": listed}
        )
        record = Record(id=request.id, request=request, drawn=drawn)
        black = row < len(blackened) and blackened[row]
        found.append(Drawn(field=field, value=value, record=record, rates=rates, blackened=black))
    return found


def _field(task: Task | None, pipe: Any, output: Any) -> str:
    """Return the field of an output that has the results."""
    names = [task.output] if task else [*writing.FIELDS, *getattr(output, "__dict__", ())]
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
