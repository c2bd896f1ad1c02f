"""Where pipelines compute and keep their weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autopipe.sizes import parse_size

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where pipelines compute and keep their weights; it doesn't change what they generate.

    Attributes:
        device: the device; None for an accelerator if there is one.
        memory: the device memory to use, such as `6GiB`, or `auto`.
        offload: `model` or `sequential` offloading, or None.
        offload_folder: the folder for weights on disk, with `memory`.
    """

    device: str | None = None
    memory: str | None = None
    offload: str | None = None
    offload_folder: str | None = None

    def target(self) -> torch.device:
        """Return the device of calls.

        Raises:
            ArgumentError: if there is no such type of device.
            PlacementError: if the device is not available, or offloading is requested without a
                device and there is no accelerator.
        """
        from autopipe.placement.devices import (
            check_here,
            devices_here,
            offload_device,
            parse_device,
        )

        if self.device is not None:
            device = parse_device(self.device, "device")
        elif self.offload is not None:
            device = offload_device(None, None, None)
        else:
            device = parse_device(devices_here()[0])
        check_here(device)
        return device

    def place(self, pipe: Any, before: Sequence[Any] = ()) -> None:
        """Place the networks of `pipe`.

        Args:
            before: the pipelines of earlier stages, whose resident weights reduce the budget.
        """
        device = self.target()
        if self.memory is not None:
            budget: int | str = self.memory
            held = sum(b.placement.size for b in before if b.placement.title == "resident")
            if held and budget != "auto":
                budget = max(1, parse_size(budget) - held)
            pipe.fit_memory(budget, device=device, offload_folder=self.offload_folder)
        elif self.offload == "model":
            pipe.enable_model_cpu_offload(device=device)
        elif self.offload == "sequential":
            pipe.enable_sequential_cpu_offload(device=device)
        else:
            pipe.to(device)
