"""The methods of a pipeline that place its networks and limit its memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..errors import ArgumentTypeError
from ..modeling import hook_device
from ..placement.allocator import explanation
from ..placement.base import Placement, bytes_of, placed_by, tensors_of
from ..placement.devices import CPU, DeviceLike, offload_device
from ..placement.layout import Layout, layout_of
from ..placement.move import parse_move
from ..wording import logger, shown
from .engines import EnginesMixin

_log = logger(__name__)

_Self = TypeVar("_Self", bound="MemoryMixin")


class MemoryMixin(EnginesMixin):
    """Placement, offloading and attention, for all pipelines that share the weights."""

    # Devices

    def to(self: _Self, *args: Any, **kwargs: Any) -> _Self:
        """Move and cast all networks; return the pipeline itself.

        Call `to(dtype)`, `to(device)` or `to(device, dtype)`, by position or with the keywords
        `device` (or `torch_device`) and `dtype` (or `torch_dtype`). Pipelines that share the
        weights are affected. Waits for running calls. An offloaded pipeline can be cast and stays
        offloaded: moving it to the CPU has no effect; moving it to an accelerator raises an error
        with sequential offload, and only logs with model offload.

        Raises:
            ArgumentError: if an argument is neither a device nor a dtype.
            ArgumentTypeError: if an argument has the wrong type or an unknown keyword.
            PlacementError: if sequential offload or a device map is active, or the device is not
                available, or its whole memory is too small for the weights.
        """
        self._pool.move(self, parse_move(*args, **kwargs))
        return self

    @property
    def device(self) -> torch.device:
        """The device of the first network; the CPU if it is offloaded."""
        for network in self._networks().values():
            for tensor in tensors_of(network):
                return CPU if placed_by(network) and tensor.is_meta else tensor.device
        return CPU

    @property
    def _execution_device(self) -> torch.device:
        """The device on which calls compute."""
        if self._pool.placement.device is not None:
            return self._pool.placement.device
        for network in self._networks().values():
            found = placed_by(network)
            device = found[0].device if found else None
            if device is None and hasattr(network, "_hf_hook"):
                device = hook_device(network)
            if device is not None:
                return device
        return self.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first network."""
        parameters = (p for network in self._networks().values() for p in network.parameters())
        return next((p.dtype for p in parameters if p.is_floating_point()), torch.float32)

    @property
    def placement(self) -> Layout:
        """The networks with their sizes and devices, for `print`."""
        return layout_of(type(self).__name__, self._networks(), self._pool.placement)

    def place(self, placement: Placement) -> None:
        """Place the networks by `placement`, whose class may be your own.

        The methods below use the placements of autopipe. Waits for running calls.

        Raises:
            PlacementError: if a device of `placement` is not available, or a call is running in
                this thread.
        """
        self._pool.place(placement)

    # Offloading

    def enable_model_cpu_offload(
        self, gpu_id: int | None = None, device: DeviceLike | None = None
    ) -> None:
        """Keep networks in main memory, and move each to the device as a whole when it is used.

        Device memory: the largest network and its activations. Calls of all pipelines that share
        the networks run one after another.

        Args:
            gpu_id: the index of the accelerator; by default the current one, else the first.
            device: the type of the device, or a device; by default the machine's accelerator.

        Raises:
            ArgumentError: if `gpu_id` and `device` contradict each other.
            PlacementError: if the accelerator is not available, or a call is running in this
                thread.
        """
        from ..placement.offload import ModelOffload

        chosen = offload_device(gpu_id, device, self._pool.placement.device)
        self.place(ModelOffload(chosen, reason="by enable_model_cpu_offload()"))

    def enable_sequential_cpu_offload(
        self, gpu_id: int | None = None, device: DeviceLike | None = None
    ) -> None:
        """Keep networks in main memory, and move each layer to the device when it is used.

        Device memory: the largest layer and its activations. Much slower than model offload.
        Arguments and errors are those of `enable_model_cpu_offload`.
        """
        from ..placement.offload import SequentialOffload

        chosen = offload_device(gpu_id, device, self._pool.placement.device)
        self.place(SequentialOffload(chosen, reason="by enable_sequential_cpu_offload()"))

    def maybe_free_model_hooks(self) -> None:
        """Move networks of model offload back to main memory, as is done after every call."""
        self._pool.free()

    def remove_all_hooks(self) -> None:
        """End offloading or a device map; the networks are then in main memory."""
        self.place(Placement())

    def fit_memory(
        self: _Self,
        budget: int | str = "auto",
        *,
        device: DeviceLike | None = None,
        offload_folder: str | Path | None = None,
    ) -> _Self:
        """Place the networks so that calls fit into `budget`, as `memory=` does while loading.

        Chooses the fastest placement that fits: resident, model offload, or sequential offload;
        without an accelerator, resident or from disk. If little memory is left, images are decoded
        one by one, and large ones in tiles. If nothing fits, a warning is logged and attention is
        sliced. Otherwise slicing and tiling are disabled. `explain` returns the choice and its
        reason. The memory of activations is estimated from the configs, for one image at the
        training resolution.

        Args:
            budget: bytes on the device, or text such as `"6GiB"`; `"auto"` is nine tenths of the
                free memory.
            device: the device of calls; by default the machine's accelerator, else the CPU.
            offload_folder: the folder for weights on disk, without an accelerator.

        Raises:
            ArgumentError: if `budget` is not a size.
            PlacementError: if the device is not available, or a call is running in this thread.
        """
        from ..placement.budget import fit

        networks, roles = self._networks(), self._pool.roles()
        placement, choice = fit(
            networks, roles, budget, device=device, offload_folder=offload_folder
        )
        self.place(placement)
        for network in networks.values():
            for what in ("slicing", "tiling"):
                name = f"{'enable' if choice.is_tight else 'disable'}_{what}"
                getattr(network, name, lambda: None)()
        self.enable_attention_slicing(None if choice.fits else "auto")
        if not choice.fits:
            _log.warning(
                "memory=%s is too little: %s", shown(budget), choice.reason.rpartition("\n")[2]
            )
        return self

    def explain(self) -> str:
        """Return a text that says how networks are placed and run, and whether memory is kept."""
        layout = self.placement
        placed = (str(layout).splitlines()[0], layout.reason or "default placement")
        return "\n".join((*placed, explanation(self._execution_device), *self._explained()))

    # Device maps

    @property
    def hf_device_map(self) -> dict[str, int | str] | str | None:
        """The device of each network under a device map, or their common device; else None."""
        return self._pool.placement.device_map

    def set_device_map(
        self,
        device_map: Any,
        *,
        max_memory: Mapping[DeviceLike, int | str] | None = None,
        offload_folder: str | Path | None = None,
    ) -> None:
        """Place each network on a device, as `device_map=` does while loading.

        Args:
            device_map: a device; `"balanced"` or `"auto"`; or a dict from component names to
                devices or `"disk"`, with `""` for all others.
            max_memory: the memory limit of each device, such as `{0: "10GiB", "cpu": "30GiB"}`.
            offload_folder: the folder for networks on disk.

        Raises:
            ArgumentError: if `device_map` is not valid, or names unknown networks.
            PlacementError: if the networks don't fit, a device is not available, or a call is
                running in this thread.
        """
        from ..placement.device_map import plan

        sizes = {name: bytes_of(network) for name, network in self._networks().items()}
        self.place(plan(device_map, sizes, max_memory=max_memory, offload_folder=offload_folder))

    def reset_device_map(self) -> None:
        """End a device map; the networks are then in main memory."""
        if self.hf_device_map is not None:
            self.remove_all_hooks()
            self.to(CPU)

    # Attention

    def enable_attention_slicing(self, slice_size: str | int | None = "auto") -> None:
        """Compute attention in slices, which takes less memory and more time.

        `"auto"` halves the batch of heads, `"max"` computes one head at a time, and a number is
        the number of slices. Affects all pipelines that share the networks.

        Raises:
            ArgumentTypeError: if `slice_size` has the wrong type.
            ArgumentError: if the attention layers can't be sliced this way.
        """
        given = slice_size if isinstance(slice_size, (list, tuple)) else (slice_size,)
        for one in given:
            if isinstance(one, bool) or not isinstance(one, (str, int, type(None))):
                raise ArgumentTypeError(
                    f"slice_size={shown(slice_size)} is not 'auto', 'max' or a number of slices"
                )
        for network in self._networks().values():
            slice_attention: Any = getattr(network, "set_attention_slice", None)
            if slice_attention is not None:
                slice_attention(slice_size)

    def disable_attention_slicing(self) -> None:
        """Undo `enable_attention_slicing`."""
        self.enable_attention_slicing(None)
