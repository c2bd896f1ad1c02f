"""The measuring process: `measure.py LIBRARY TASK CHECKPOINT OPTIONS`.

For each line of the standard input it takes a measurement and prints it as a line of JSON. A task
is a generator: it prepares once, then yields measurements. A worker that is asked once measures
what happens once, such as loading.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

from loras import lora_of
from memory import Peak
from single_files import file_of

Options = Mapping[str, Any]
Measured = Iterator[dict[str, float]]


def seconds(work: Callable[[], Any]) -> float:
    """Return the time that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def opened(name: str, checkpoint: str, options: Options) -> Any:
    """Return a pipeline of the library `name` that shows no progress, with its engine."""
    import torch

    given = {}
    if options.get("dtype"):
        given["torch_dtype"] = getattr(torch, options["dtype"])
    library = importlib.import_module(name)
    if options.get("single"):
        cls = getattr(library, options["imports"][0])
        pipe = cls.from_single_file(options["single"], config=checkpoint, **given)
    else:
        pipe = library.AutoPipelineForText2Image.from_pretrained(checkpoint, **given)
    pipe.set_progress_bar_config(disable=True)
    if options.get("engine"):
        pipe.use_engine(options["engine"], **options.get("engine_options", {}))
    for addon, settings in options.get("addons", {}).items():
        pipe.attach(addon, **settings)
    if options.get("loras"):
        names = [f"lora_{number}" for number in range(options["loras"])]
        for one in names:
            pipe.load_lora_weights(str(lora_of(checkpoint)), adapter_name=one)
        pipe.set_adapters(names)
        if options.get("unloaded"):
            pipe.unload_lora_weights()
    return pipe


def drawing(pipe: Any, options: Options, **further: Any) -> Any:
    """Draw a picture of the wanted size and steps, always from the same noise."""
    import torch

    side = {name: options["side"] for name in ("height", "width") if options.get("side")}
    generator = torch.Generator().manual_seed(0)
    return pipe(
        options.get("prompt", "a red circle"),
        generator=generator,
        **{"num_inference_steps": options["steps"], **side, **further},
    )


def load(name: str, checkpoint: str, options: Options) -> Measured:
    """Opening a checkpoint, without the imports; `with read` uses each weight once as well."""
    library = importlib.import_module(name)
    for imported in options["imports"]:
        getattr(library, imported)
    importlib.import_module("transformers").CLIPTextModel  # noqa: B018
    if options.get("single"):
        options = {**options, "single": str(file_of(checkpoint))}
    kept: list[Any] = []
    with Peak() as peak:
        taken = seconds(lambda: kept.append(opened(name, checkpoint, options)))
    networks = [one for one in kept[0].components.values() if hasattr(one, "parameters")]
    read = seconds(lambda: [p.sum() for one in networks for p in one.parameters()])
    yield {"seconds": taken, "with read": taken + read, "peak MiB": peak.mib}


def resolve(name: str, checkpoint: str, options: Options) -> Measured:
    """Which class opens this checkpoint for inpainting, with all imports."""

    def ours() -> str:
        from autopipe.checkpoint.address import open_source
        from autopipe.checkpoint.index import open_index
        from autopipe.checkpoint.source import HubOptions
        from autopipe.registry import default_registry

        registry = default_registry()
        index = open_index(open_source(checkpoint, HubOptions(), registry), registry)
        return registry.resolve(index.class_name, "inpaint").pipeline.name

    def theirs() -> str:
        from diffusers import DiffusionPipeline
        from diffusers.pipelines import auto_pipeline as auto

        stored = DiffusionPipeline.load_config(checkpoint)["_class_name"]
        return auto._get_task_class(auto.AUTO_INPAINT_PIPELINES_MAPPING, stored).__name__

    yield {"seconds": seconds(ours if name == "autopipe" else theirs)}


def from_pipe(name: str, checkpoint: str, options: Options) -> Measured:
    """A second task on the same weights; the median of many."""
    pipe, library = opened(name, checkpoint, options), importlib.import_module(name)
    switch = library.AutoPipelineForInpainting.from_pipe
    while True:
        yield {"seconds": statistics.median(seconds(lambda: switch(pipe)) for _ in range(20))}


def call(name: str, checkpoint: str, options: Options) -> Measured:
    """A whole call with guidance, its median step, and what comes after the last step: decoding."""
    pipe = opened(name, checkpoint, options)
    # What happens once in a process: an engine prepares the networks.
    with Peak() as most:
        ready = seconds(lambda: drawing(pipe, {**options, "steps": 2}))
    while True:
        ends: list[float] = []

        def note(*_: Any, ends: list[float] = ends) -> dict[str, Any]:
            ends.append(time.perf_counter())
            return {}

        with Peak() as peak:
            start = time.perf_counter()
            drawing(pipe, options, callback_on_step_end=note)
            end = time.perf_counter()
        yield {
            "seconds": end - start,
            "step": statistics.median(b - a for a, b in pairwise(ends)),
            "decode": end - ends[-1],
            "peak MiB": peak.mib,
            "ready": ready,
            "ready MiB": most.mib,
        }


def small_calls(name: str, checkpoint: str, options: Options) -> Measured:
    """Whole calls of a tiny network, one with each of several schedulers: their sum."""
    pipe, library = opened(name, checkpoint, options), importlib.import_module(name)
    config = pipe.scheduler.config
    schedulers = [getattr(library, one).from_config(config) for one in options["schedulers"]]

    def work() -> None:
        for pipe.scheduler in schedulers:
            drawing(pipe, options, output_type="np")

    work()
    while True:
        yield {"seconds": statistics.median(seconds(work) for _ in range(3))}


def threads(name: str, checkpoint: str, options: Options) -> Measured:
    """As many calls of one pipeline as there are threads, at once or one after the other."""
    pipe, count = opened(name, checkpoint, options), options["threads"]
    waiting: Any = threading.Lock() if options.get("lock") else nullcontext()

    def one(_: int) -> None:
        with waiting:
            drawing(pipe, options)

    one(0)
    with ThreadPoolExecutor(count) as pool:
        while True:
            yield {"seconds": seconds(lambda: list(pool.map(one, range(count))))}


def loss(name: str, checkpoint: str, options: Options) -> Measured:
    """A call with add-ons, and how far its picture is from that without, as a ratio in dB."""
    import numpy as np

    plain = opened(name, checkpoint, {**options, "addons": {}})
    exact = drawing(plain, options, output_type="np").images
    pipe = opened(name, checkpoint, options)
    drawing(pipe, options)
    while True:
        start = time.perf_counter()
        made = drawing(pipe, options, output_type="np").images
        taken = time.perf_counter() - start
        error = float(np.mean((made - exact) ** 2))
        yield {"seconds": taken, "dB": -10 * float(np.log10(error)) if error else float("inf")}


def attach(name: str, checkpoint: str, options: Options) -> Measured:
    """Loading one LoRA after another: the time of the last one."""
    pipe, file = opened(name, checkpoint, options), str(lora_of(checkpoint))
    for number in range(options["count"]):
        label = f"lora_{number}"
        taken = seconds(lambda label=label: pipe.load_lora_weights(file, adapter_name=label))
    yield {"seconds": taken}


TASKS: Mapping[str, Callable[[str, str, Options], Measured]] = {
    task.__name__: task
    for task in (load, resolve, from_pipe, call, small_calls, threads, loss, attach)
}


def main() -> None:
    _, library, task, checkpoint, told = sys.argv
    options = json.loads(told)
    if options.get("pinned"):
        # One thread on one processor: two that share one processor would wait for each other.
        os.environ["OMP_NUM_THREADS"] = "1"
        if hasattr(os, "sched_setaffinity"):
            usable = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, usable[-1:])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What libraries print must not be taken for an answer.
    taken = TASKS[task](library, checkpoint, options)
    for _ in sys.stdin:
        print(json.dumps(next(taken)), file=answers, flush=True)


if __name__ == "__main__":
    main()
