"""What a pipeline offers to say where its networks are and how much memory it takes."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..errors import ArgumentError, ArgumentTypeError, MissingPackageError
from ..modeling import hook_device
from ..placement.base import Placement, bytes_of, placed_by, tensors_of
from ..placement.devices import CPU, DeviceLike, offload_device
from ..placement.layout import Layout, layout_of
from ..placement.move import parse_move
from ..wording import logger, shown
from .components import ComponentsMixin

_log = logger(__name__)

_Self = TypeVar("_Self", bound="MemoryMixin")


class MemoryMixin(ComponentsMixin):
    """Placement, offloading and attention; all of it holds for every pipeline of the pool."""

    # Where the networks are

    def to(self: _Self, *args: Any, **kwargs: Any) -> _Self:
        """Move and cast all networks; returns the pipeline itself.

        `to(dtype)`, `to(device)`, `to(device, dtype)`, by position or by the keywords `device`
        (or `torch_device`) and `dtype` (or `torch_dtype`). Pipelines that share the weights see
        the change. It waits for running calls. An offloaded pipeline is cast as any other, and
        stays offloaded: a move to the CPU changes nothing, one to an accelerator is refused, or
        with model offload only commented on.

        Raises:
            ArgumentError, ArgumentTypeError: the arguments name no device and no dtype.
            PlacementError: sequential offload or a device map is in force, or the device is not
                there.
        """
        self._pool.move(self, parse_move(*args, **kwargs))
        return self

    @property
    def device(self) -> torch.device:
        """Where the first network is; the CPU, if its weights come from there."""
        for network in self._networks().values():
            for tensor in tensors_of(network):
                return CPU if placed_by(network) and tensor.is_meta else tensor.device
        return CPU

    @property
    def _execution_device(self) -> torch.device:
        """Where calls compute."""
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
        """The networks with their sizes and places; `print` it."""
        return layout_of(type(self).__name__, self._networks(), self._pool.placement)

    def place(self, placement: Placement) -> None:
        """Place the networks by `placement`, which may be a class of your own.

        The methods below give placements that come with autopipe. Waits for running calls.

        Raises:
            PlacementError: a device of `placement` is not there, or a call is running in this
                thread.
        """
        self._pool.place(placement)

    # Offloading

    def enable_model_cpu_offload(
        self, gpu_id: int | None = None, device: DeviceLike | None = None
    ) -> None:
        """Let networks rest in main memory, and bring each to the device as a whole for its use.

        Device memory: the largest network, and what works along with it. Calls of all pipelines
        that share the networks take turns.

        Args:
            gpu_id: which accelerator; the one used before if absent, else the first.
            device: which kind of device, or which one; the machine's accelerator if absent.

        Raises:
            ArgumentError: `gpu_id` and `device` contradict each other.
            PlacementError: there is no accelerator, or not that one, or a call is running in this
                thread.
        """
        from ..placement.offload import ModelOffload

        chosen = offload_device(gpu_id, device, self._pool.placement.device)
        self.place(ModelOffload(chosen, reason="by enable_model_cpu_offload()"))

    def enable_sequential_cpu_offload(
        self, gpu_id: int | None = None, device: DeviceLike | None = None
    ) -> None:
        """Let networks rest in main memory, and bring each layer to the device for its use.

        Device memory: the largest layer, and what is computed. Much slower than model offload.
        Arguments and errors are those of `enable_model_cpu_offload`.
        """
        from ..placement.offload import SequentialOffload

        chosen = offload_device(gpu_id, device, self._pool.placement.device)
        self.place(SequentialOffload(chosen, reason="by enable_sequential_cpu_offload()"))

    def maybe_free_model_hooks(self) -> None:
        """Let networks that a call brought to the device rest again; each call ends so."""
        self._pool.free()

    def remove_all_hooks(self) -> None:
        """End offloading or a device map; the networks are in main memory then."""
        self.place(Placement())

    def fit_memory(
        self: _Self,
        budget: int | str = "auto",
        *,
        device: DeviceLike | None = None,
        offload_folder: str | Path | None = None,
    ) -> _Self:
        """Place the networks so that calls fit into `budget`; what `memory=` does while loading.

        Takes the fastest that fits: resident, model offload, sequential offload; without an
        accelerator resident, or from the disk. Where little is left, pictures are decoded one by
        one and large ones in tiles, else not. Where nothing fits, a warning says so, and attention
        is sliced, else not. `explain` says what was chosen and why; what calls compute is
        estimated from the configs, for one picture of the size they were trained for.

        Args:
            budget: bytes of the device, or text such as `"6GiB"`; `"auto"` is nine tenths of
                what is free.
            device: where calls compute; the machine's accelerator if absent, else the CPU.
            offload_folder: for what goes to the disk, without an accelerator.

        Raises:
            ArgumentError: `budget` is not a size.
            PlacementError: the device is not there, or a call is running in this thread.
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
        """In a few lines, how the networks are placed and why."""
        layout = self.placement
        return f"{str(layout).splitlines()[0]}\n{layout.reason or 'nothing else was asked for'}"

    # Device maps

    @property
    def hf_device_map(self) -> dict[str, int | str] | str | None:
        """The place of each network under a device map, or the one device; None without."""
        return self._pool.placement.device_map

    def set_device_map(
        self,
        device_map: Any,
        *,
        max_memory: Mapping[DeviceLike, int | str] | None = None,
        offload_folder: str | Path | None = None,
    ) -> None:
        """Give each network a place of its own; what `device_map=` does while loading.

        Args:
            device_map: a device; `"balanced"` or `"auto"`; or a dict from component to device or
                `"disk"`, with `""` for those it doesn't name.
            max_memory: how much each device may take, such as `{0: "10GiB", "cpu": "30GiB"}`.
            offload_folder: for what goes to the disk.

        Raises:
            ArgumentError: it is not a device map, or names no networks of this pipeline.
            PlacementError: the networks don't fit, a device is not there, or a call is running in
                this thread.
        """
        from ..placement.device_map import plan

        sizes = {name: bytes_of(network) for name, network in self._networks().items()}
        self.place(plan(device_map, sizes, max_memory=max_memory, offload_folder=offload_folder))

    def reset_device_map(self) -> None:
        """End a device map; the networks are in main memory then."""
        if self.hf_device_map is not None:
            self.remove_all_hooks()
            self.to(CPU)

    # Attention

    def enable_attention_slicing(self, slice_size: str | int | None = "auto") -> None:
        """Compute attention in slices: less memory, more time.

        `"auto"` halves the batch of heads, `"max"` takes one head at a time, a number gives
        the slices. Applies to all pipelines that share the networks.

        Raises:
            ArgumentError, ArgumentTypeError: `slice_size` is something else, or no attention can
                be cut so.
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

    def enable_xformers_memory_efficient_attention(self, attention_op: Any = None) -> None:
        """Accepted for programs that call it; attention is memory-efficient without xformers.

        Raises:
            ArgumentError: an operator of xformers is asked for.
            MissingPackageError: xformers is not installed.
        """
        if attention_op is not None:
            raise ArgumentError(
                "attention_op= chooses an operator of xformers, and attention here is computed by "
                "torch's scaled_dot_product_attention; leave it out"
            )
        if importlib.util.find_spec("xformers") is None:
            raise MissingPackageError(
                "xformers is not installed, and is not needed: attention is computed by torch's "
                "scaled_dot_product_attention, which takes as little memory; remove the call of "
                "enable_xformers_memory_efficient_attention()",
                name="xformers",
            )
        self._pool.say_once(
            "enable_xformers_memory_efficient_attention() changes nothing: attention is computed "
            "by torch's scaled_dot_product_attention, which takes as little memory"
        )

    def disable_xformers_memory_efficient_attention(self) -> None:
        """Accepted for programs that call it; nothing was enabled."""
