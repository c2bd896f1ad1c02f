"""Measure on an accelerator: a step of Stable Diffusion 1.5 at 512 and of XL at 1024, in bfloat16.

    python benchmarks/gpu.py [--tiny]

The weights are random and made on the device. Measured are whole calls with guidance, decoding
included, by the reference in eager mode and compiled, and by autopipe in eager mode and by its
engines. A ratio is the time of the reference's eager mode divided by that of the row: above 1 is
faster. It takes eight minutes at most, of which compiling is most; what would begin later than that
is left out. `--tiny` runs the same with tiny networks on the CPU, to test the script.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import checkpoints
import torch

LONGEST = 7 * 60
"""Seconds after which nothing new begins."""

SIZES = {"real": ("Stable Diffusion 1.5", 512), "xl": ("Stable Diffusion XL", 1024)}
TINY = {"tiny": ("Stable Diffusion, tiny", 32), "tiny-xl": ("Stable Diffusion XL, tiny", 32)}
SETTINGS = {
    "diffusers, eager": ("diffusers", None),
    "autopipe, eager": ("autopipe", None),
    "autopipe, channels_last": ("autopipe", "channels_last"),
    "autopipe, cuda_graphs": ("autopipe", "cuda_graphs"),
    "diffusers, compiled": ("diffusers", "compile"),
    "autopipe, compile": ("autopipe", "compile"),
}
"""The library and the engine of each row."""


def made(size: str, device: str, dtype: torch.dtype) -> Any:
    """Return a new pipeline of autopipe with random weights, made on the device."""
    with tempfile.TemporaryDirectory() as folder, torch.device(device):
        tokens = checkpoints.tokenizer(Path(folder))
        pipe = checkpoints.pipeline(size, tokens)
    for one in pipe.components.values():
        if isinstance(one, torch.nn.Module):
            one.eval()
    return pipe.to(device, dtype)


def of_the_reference(pipe: Any, size: str) -> Any:
    """Return a pipeline of the reference with the same weights, not copied."""
    theirs = importlib.import_module("diffusers")
    parts = dict(pipe.components)
    for name, network in pipe.components.items():
        kind = getattr(theirs, type(network).__name__, None)
        if kind is not None and hasattr(network, "state_dict"):
            with torch.device("meta"):
                parts[name] = kind.from_config(dict(network.config))
            parts[name].load_state_dict(network.state_dict(), assign=True)
            parts[name].eval()
        elif kind is not None:
            parts[name] = kind.from_config(dict(network.config))
    return getattr(theirs, type(pipe).__name__)(
        **parts, **({} if "xl" in size else {"requires_safety_checker": False})
    )


def prepare(pipe: Any, library: str, engine: str | None, device: str) -> None:
    """Switch the engine of `pipe` on; the reference has torch.compile alone."""
    # On the CPU only the script is tested, and real compiling takes minutes.
    options = {"backend": "eager"} if engine == "compile" and device == "cpu" else {}
    if library == "autopipe":
        pipe.use_engine(engine, **options)
    elif engine is not None:
        pipe.unet = torch.compile(pipe.unet, **options)


def timed(draw: Callable[[], object], turns: int, device: str) -> float:
    """Return the median time of `draw`, after one that prepares everything."""

    def settled() -> float:
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    draw()
    times = []
    for _ in range(turns):
        start = settled()
        draw()
        times.append(settled() - start)
    return statistics.median(times)


def measured(size: str, side: int, *, device: str, steps: int, end: float) -> Iterator[str]:
    """Yield the lines of the table for one checkpoint."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    pipe = made(size, device, dtype)
    pipes = {"autopipe": pipe, "diffusers": of_the_reference(pipe, size)}
    eager = None
    for name, (library, engine) in SETTINGS.items():
        if time.perf_counter() > end:
            yield f"| {name} | left out: no time | |"
            continue
        one = pipes[library]
        one.set_progress_bar_config(disable=True)
        try:
            prepare(one, library, engine, device)
            options = {"num_inference_steps": steps, "height": side, "width": side}
            seconds = timed(lambda: one("abc", **options), 3, device)  # noqa: B023  # used here
        except Exception as error:
            yield f"| {name} | {type(error).__name__}: {str(error).splitlines()[0][:90]} | |"
            continue
        eager = eager or seconds
        yield f"| {name} | {seconds:.3f} s | {eager / seconds:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tiny", action="store_true", help="tiny networks, on the CPU")
    tiny = parser.parse_args().tiny
    if not tiny and not torch.cuda.is_available():
        raise SystemExit("torch finds no CUDA device here; --tiny runs on the CPU")
    device, steps = ("cpu", 2) if tiny else ("cuda", 20)
    end = time.perf_counter() + LONGEST
    name = "the CPU" if tiny else torch.cuda.get_device_name()
    print(f"{name}, torch {torch.__version__}, whole calls of {steps} steps")
    for size, (title, side) in (TINY if tiny else SIZES).items():
        print(f"\n**{title}, {side} x {side}**\n\n| | time | speed |\n|---|---|---|")
        for line in measured(size, side, device=device, steps=steps, end=end):
            print(line, flush=True)


if __name__ == "__main__":
    main()
