"""Where networks can be: functions that place those of a pipeline, by name.

`remove_all_hooks` undoes them.
"""

from __future__ import annotations

from collections.abc import Callable
from tempfile import mkdtemp
from typing import Any

PLACES: dict[str, Callable[[Any], Any]] = {
    "model": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
    "sequential": lambda pipe: pipe.enable_sequential_cpu_offload(device="cpu"),
    "map": lambda pipe: pipe.set_device_map({"": "cpu"}),
    "disk": lambda pipe: on_disk(pipe, "unet"),
}


def on_disk(pipe: Any, component: str) -> Any:
    """Keep a network on the disk, and all others on the CPU."""
    return pipe.set_device_map({"": "cpu", component: "disk"}, offload_folder=mkdtemp())
