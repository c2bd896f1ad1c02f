"""Checks of placement: a pipeline works wherever its networks are."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from autopipe.pipeline.base import DiffusionPipeline
from autopipe.placement.base import Role, networks_of
from autopipe.placement.devices import CPU
from autopipe.placement.offload import ModelOffload

from ..subject import Subject, quiet


class StrictOffload(ModelOffload):
    """Model offload that shows mistakes without an accelerator.

    The weights of an offloaded network are NaN. A method that computes with them, because it is
    neither `forward` nor an `entry_point`, generates NaN.
    """

    def __init__(self) -> None:
        super().__init__(CPU)
        self._real: weakref.WeakKeyDictionary[nn.Module, dict[str, torch.Tensor]]
        self._real = weakref.WeakKeyDictionary()

    def install(self, network: nn.Module, role: Role) -> None:
        super().install(network, role)
        if not role.stays:
            self.send(network, CPU)

    def remove(self, network: nn.Module, role: Role) -> None:
        self._restore(network)
        super().remove(network, role)

    def fetch(self, network: nn.Module) -> None:
        super().fetch(network)
        self._restore(network)

    def send(self, network: nn.Module, device: torch.device) -> None:
        if network not in self._real:
            self._real[network] = {n: p.data for n, p in network.named_parameters()}
            for parameter in network.parameters():
                parameter.data = torch.full_like(parameter, torch.nan)

    def _restore(self, network: nn.Module) -> None:
        real = self._real.pop(network, {})
        for name, parameter in network.named_parameters():
            if name in real:
                parameter.data = real[name]


def placement(subject: Subject) -> None:
    """Results are bitwise the same with every placement of the networks, also for views."""
    order = subject.cls.model_cpu_offload_seq
    named = set() if order is None else set(order.split("->"))
    assert named <= set(subject.cls.module_names()), "model_cpu_offload_seq names components"
    pipe = subject.load()
    _in_memory(pipe)
    expected = subject.result(pipe)
    ways: list[Callable[[DiffusionPipeline], Any]] = [
        lambda p: p.place(StrictOffload()),
        lambda p: p.enable_model_cpu_offload(device="cpu"),
        lambda p: p.enable_sequential_cpu_offload(device="cpu"),
        lambda p: p.set_device_map({"": "disk"}, offload_folder=subject.scratch),
        lambda p: p.remove_all_hooks(),
    ]
    for place in ways:
        place(pipe)
        found = str(pipe.placement)
        assert np.array_equal(subject.result(pipe), expected), found
        with quiet():
            view = subject.cls.from_pipe(pipe)
        view.set_progress_bar_config(disable=True)
        assert np.array_equal(subject.result(view), expected), f"a view, {found}"
        assert str(pipe.placement) == found, "a call must leave the placement as it was"


def _in_memory(pipe: DiffusionPipeline) -> None:
    """Copy mapped weights to memory, since rounding in kernels depends on alignment."""
    for network in networks_of(pipe.components).values():
        for parameter in network.parameters():
            parameter.data = parameter.data.clone()
