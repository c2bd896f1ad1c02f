"""One measurement in a process of its own: `measure.py LIBRARY TASK FOLDER`, prints JSON."""

from __future__ import annotations

import importlib
import json
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def resident() -> float:
    """MiB of memory in use now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


class Peak:
    """The largest resident memory while a block runs, over that before it, in MiB."""

    def __enter__(self) -> Peak:
        self.before = self.highest = resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.002):
            self.highest = max(self.highest, resident())

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self.highest = max(self.highest, resident())
        self.mib = self.highest - self.before


def seconds(work: Callable[[], Any], repeat: int = 1) -> float:
    """The median time of `work`."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def quiet(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    return pipe


def load(library: Any, folder: str) -> Any:
    return quiet(library.AutoPipelineForText2Image.from_pretrained(folder))


def weights(pipe: Any) -> Iterator[Any]:
    """Every parameter of every network of a pipeline."""
    for component in pipe.components.values():
        if hasattr(component, "parameters"):
            yield from component.parameters()


def task_import(name: str, folder: str) -> dict[str, float]:
    def work() -> None:
        _ = importlib.import_module(name).AutoPipelineForText2Image

    return {"seconds": seconds(work)}


def task_resolve(name: str, folder: str) -> dict[str, float]:
    """Which class opens this checkpoint for inpainting, from a cold start."""

    def ours() -> str:
        from autopipe.checkpoint.address import open_source
        from autopipe.checkpoint.index import open_index
        from autopipe.checkpoint.source import HubOptions
        from autopipe.registry import default_registry

        registry = default_registry()
        index = open_index(open_source(folder, HubOptions(), registry), registry)
        return registry.resolve(index.class_name, "inpaint").pipeline.name

    def theirs() -> str:
        from diffusers import DiffusionPipeline
        from diffusers.pipelines import auto_pipeline as auto

        stored = DiffusionPipeline.load_config(folder)["_class_name"]
        mapping = auto.AUTO_INPAINT_PIPELINES_MAPPING
        return auto._get_task_class(mapping, stored).__name__

    return {"seconds": seconds(ours if name == "autopipe" else theirs)}


def task_load(name: str, folder: str) -> dict[str, float]:
    library = importlib.import_module(name)
    _ = library.StableDiffusionPipeline, library.UNet2DConditionModel, library.AutoencoderKL
    import transformers

    _ = transformers.CLIPTextModel, transformers.CLIPTokenizer
    with Peak() as peak:
        kept: list[Any] = []
        taken = seconds(lambda: kept.append(load(library, folder)))
        # Mapped weights are read from the disk when they are first used; here, each once.
        read = seconds(lambda: [p.sum() for p in weights(kept[0])])
    return {"seconds": taken, "with read": taken + read, "peak MiB": peak.mib}


def task_from_pipe(name: str, folder: str) -> dict[str, float]:
    library = importlib.import_module(name)
    pipe = load(library, folder)
    return {
        "seconds": seconds(lambda: library.AutoPipelineForInpainting.from_pipe(pipe), repeat=30)
    }


def task_step(name: str, folder: str) -> dict[str, float]:
    """One U-Net forward pass with guidance (a batch of two), at the checkpoint's size."""
    import torch

    library = importlib.import_module(name)
    unet = library.UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    size, width = unet.config.sample_size, unet.config.cross_attention_dim
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(2, 4, size, size, generator=generator)
    text = torch.randn(2, 77, width, generator=generator)

    def work() -> None:
        with torch.no_grad():
            unet(sample, 500, encoder_hidden_states=text)

    work()
    return {"seconds": seconds(work, repeat=20 if size < 64 else 3)}


def task_call(name: str, folder: str) -> dict[str, float]:
    """A whole call: text, steps with guidance, decoding, PIL images."""
    import torch

    pipe = load(importlib.import_module(name), folder)
    real = pipe.unet.config.sample_size >= 64
    steps = 4 if real else 20

    def work() -> None:
        pipe("abc", num_inference_steps=steps, generator=torch.Generator().manual_seed(0))

    if not real:
        work()
    with Peak() as peak:
        taken = seconds(work, repeat=1 if real else 3)
    return {"seconds": taken, "peak MiB": peak.mib}


def on_device(name: str, folder: str, offload: str) -> dict[str, float]:
    """A call in half precision on a GPU, everything there or offloaded in one of two ways."""
    import torch

    library = importlib.import_module(name)
    pipe = quiet(
        library.AutoPipelineForText2Image.from_pretrained(folder, torch_dtype=torch.float16)
    )
    if offload:
        getattr(pipe, f"enable_{offload}_cpu_offload")()
    else:
        pipe.to("cuda")

    def work() -> None:
        pipe("abc", num_inference_steps=4, generator=torch.Generator().manual_seed(0))
        torch.cuda.synchronize()

    work()
    torch.cuda.reset_peak_memory_stats()
    taken = seconds(work, repeat=3)
    return {"seconds": taken, "GPU MiB": torch.cuda.max_memory_allocated() / 2**20}


def task_gpu(name: str, folder: str) -> dict[str, float]:
    return on_device(name, folder, "")


def task_gpu_model(name: str, folder: str) -> dict[str, float]:
    return on_device(name, folder, "model")


def task_gpu_each(name: str, folder: str) -> dict[str, float]:
    return on_device(name, folder, "sequential")


if __name__ == "__main__":
    _, library_name, task, checkpoint = sys.argv
    print(json.dumps(globals()[f"task_{task}"](library_name, checkpoint)))
