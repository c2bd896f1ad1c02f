"""`autopipe tune`: measures the installed engines for a checkpoint, and remembers the fastest."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from autopipe.cli.arguments import count, number, size
from autopipe.cli.checkpoint import declare_checkpoint
from autopipe.cli.command import Run, explain, option, show
from autopipe.cli.text import paragraph, table

if TYPE_CHECKING:
    from autopipe.attaching.recorder import NetworkCall
    from autopipe.pipeline.base import DiffusionPipeline

    from ..engines.measuring import Measured

ABOUT = (
    "Measure the installed engines for the networks of a checkpoint, in turn with torch's eager "
    "mode, at one size, and compare their outputs. The fastest one of each network is remembered "
    "for this machine, and the engine auto uses it. Networks that take the most time come first; "
    "what doesn't fit into the given time is left out, and the table says so."
)
EXAMPLES = (
    "autopipe tune OWNER/NAME --size 512",
    "autopipe tune ./my-checkpoint --size 512x768 --steps 30 --seconds 300",
    'autopipe generate "a cat" --model OWNER/NAME --engine auto',
)

_SMALL = 0.02
"""The share of a call's time below which no engine is worth its memory."""

_RECORDED = 3
"""The steps of the call that is recorded.

A method that it uses less often, such as a text encoder for two halves, isn't used in every step.
"""


def declare(parser: argparse.ArgumentParser) -> Run:
    """Add the arguments."""
    explain(parser, ABOUT, EXAMPLES)
    take = partial(option, parser)
    declare_checkpoint(parser)
    take("--variant NAME", "the variant of the weight files, such as fp16")
    take("--dtype NAME", "the dtype of the weights, such as bfloat16 (default: float32)")
    take("--size WxH", "pixels, as 512x768 or 512 (default: the model's)", type=size)
    take(
        "--steps N",
        "the steps of a call, for its time in all (default: 30)",
        type=count,
        default=30,
    )
    take("--seconds X", "the time to measure in (default: 60)", type=number, default=60)
    take("--engine NAME", "an engine to measure (default: all; can be repeated)", many=True)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return run


@dataclass(frozen=True)
class Part:
    """A method of a network, with what was measured of it.

    Attributes:
        name: the component and the method, such as `unet.forward`.
        times: how often a call of the pipeline uses it.
        found: eager mode, then the engines.
        chosen: the engine that is remembered.
    """

    name: str
    times: int
    found: tuple[Measured, ...]
    chosen: str

    @property
    def eager(self) -> float:
        """The seconds in eager mode in a call of the pipeline."""
        return self.times * (self.found[0].seconds or 0.0)

    @property
    def tuned(self) -> float:
        """The seconds with the chosen engine."""
        ratios = {one.engine: one.ratio for one in self.found}
        return self.eager * (ratios[self.chosen] or 1.0)


def run(arguments: argparse.Namespace) -> int:
    """Measure, remember, and print the table."""
    from autopipe.pipeline.base import DiffusionPipeline

    from ..engines.measuring import installed_engines

    keywords = {"revision": arguments.revision, "variant": arguments.variant}
    keywords["torch_dtype"] = arguments.dtype
    engines = installed_engines(arguments.engine or ())
    pipe = DiffusionPipeline.from_pretrained(arguments.checkpoint, **keywords)
    parts = tuned(pipe, engines, arguments.size, arguments.steps, arguments.seconds)
    data = [
        {
            "part": part.name,
            "calls": part.times,
            "engine": part.chosen,
            "measured": [one.as_plain() for one in part.found],
        }
        for part in parts
    ]
    show(arguments.json, data, _text(parts, arguments.steps))
    return 0


def tuned(
    pipe: DiffusionPipeline,
    engines: Mapping[str, Any],
    pixels: tuple[int, int] | None,
    steps: int,
    seconds: float,
) -> list[Part]:
    """Measure the networks of a pipeline by each of the engines, and remember the fastest.

    Args:
        pixels: width and height; None for the default of the checkpoint.
        steps: the denoising steps of a call.
        seconds: the time that measuring may take, without the recorded call.
    """
    from autopipe.attaching.recorder import Recorder, tensors_in

    from ..engines.choosing import Choices, key_of
    from ..engines.measuring import best, installed_engines, measure

    every = installed_engines()
    recorder, choices = Recorder(), Choices()
    pipe.set_progress_bar_config(disable=True)
    pipe.use_engine(recorder)
    pipe(**arguments_of(pipe, pixels))
    pipe.use_engine(None)
    names = {id(network): name for name, network in pipe.components.items()}
    groups: dict[tuple[str, str, str], list[NetworkCall]] = {}
    for call in recorder.calls:
        shapes = str([tuple(one.shape) for one in tensors_in((call.args, dict(call.kwargs)))])
        groups.setdefault((names[id(call.network)], call.method, shapes), []).append(call)
    parts: list[Part] = []
    started = time.perf_counter()
    timed = {key: measure(key[0], calls[0], {}, 0.0)[0] for key, calls in groups.items()}
    often = {
        k: len(c) if len(c) < _RECORDED else len(c) * steps // _RECORDED for k, c in groups.items()
    }
    spent = {key: often[key] * (timed[key].seconds or 0.0) for key in groups}
    whole = sum(spent.values())
    for key in sorted(groups, key=lambda key: -spent[key]):
        name, method, shapes = key
        call, left = groups[key][0], seconds - (time.perf_counter() - started)
        worth = spent[key] >= _SMALL * whole
        found = measure(name, call, engines, left) if worth else [timed[key]]
        part = Part(f"{name}.{method}", often[key], tuple(found), best(found))
        parts.append(part)
        if any(one.usable for one in found[1:]):
            choices.add(key_of(call.network, method, shapes, every), part.chosen)
    return parts


def arguments_of(pipe: DiffusionPipeline, pixels: tuple[int, int] | None) -> dict[str, Any]:
    """Return the arguments of a short call of `pipe`, from the samples of its task."""
    from PIL import Image

    from autopipe.errors import ArgumentError
    from autopipe.registry import default_registry
    from autopipe.tasks import Task

    known = default_registry().pipeline_of(type(pipe))
    if known is None or known.task is None or known.opens_as is not None:
        raise ArgumentError(
            f"{type(pipe).__name__} serves no task by itself, so it isn't known how to call it"
        )
    task = Task(known.task)
    samples = {name: values[0] for name, values in task.samples.items()}
    given = {name: value() if callable(value) else value for name, value in samples.items()}
    for one in task.inputs:
        if one.kind in ("image", "mask"):
            mode = "L" if one.kind == "mask" else "RGB"
            given[one.name] = Image.new(mode, pixels or (512, 512), "white")
    if pixels is not None and {"width", "height"} <= set(task.parameters):
        given |= {"width": pixels[0], "height": pixels[1]}
    if "num_inference_steps" in task.parameters:
        given["num_inference_steps"] = _RECORDED
    return given


def _text(parts: Sequence[Part], steps: int) -> str:
    head = ("part", "engine", "ready", "call", "share", "differs", "")
    rows = [
        (
            part.name if not number else "",
            one.engine,
            f"{one.ready:.1f} s" if one.ready else "",
            "" if one.seconds is None else f"{one.seconds:.3g} s",
            "" if one.ratio is None else f"{one.ratio:.2f}",
            f"{one.difference:.0e}" if one.difference else "",
            one.why or ("chosen" if one.engine == part.chosen else "")
            if len(part.found) > 1
            else f"too small: below {_SMALL:.0%} of a call",
        )
        for part in parts
        for number, one in enumerate(part.found)
    ]
    eager, own = sum(part.eager for part in parts), sum(part.tuned for part in parts)
    told = (
        f"The networks take {eager:.3g} s of a call of {steps} steps in eager mode, and "
        f"{own:.3g} s by what is chosen ({own / eager if eager else 1:.2f}). The engine auto uses "
        f"it at this size."
    )
    return f"{table(rows, head)}\n\n{paragraph(told)}"
