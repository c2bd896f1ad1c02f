"""Fusing LoRAs into the weights of one pipeline.

The networks of that pipeline are replaced by others with the changed layers. All other layers, and
other pipelines, keep the weights that they share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from autopipe.attaching.network_view import with_modules
from autopipe.errors import ArgumentError, PlacementError
from autopipe.pipeline.values import number
from autopipe.placement.base import networks_of
from autopipe.wording import listed, logger, shown

from .addon import Lora
from .fused import MARK, Fused, fused_of, is_fused
from .strengths import of_modules
from .switching import check_loaded, inside, is_active

_log = logger(__name__)


def fuse_lora(
    self: Any,
    components: Sequence[str] | None = None,
    lora_scale: float = 1.0,
    safe_fusing: bool = False,
    adapter_names: Sequence[str] | None = None,
) -> None:
    """Make LoRAs part of the weights of this pipeline, which then run as fast as without any.

    `save_pretrained` writes the changed weights. Other pipelines are not affected. Later weights
    and switches of a fused LoRA have no effect, until `unfuse_lora`.

    Args:
        components: the networks; by default all that a LoRA changes.
        lora_scale: by what the weights of the LoRAs are multiplied.
        safe_fusing: raise an error instead if a weight would not be finite.
        adapter_names: the LoRAs; by default the active ones.

    Raises:
        ArgumentError: if `components` is empty, there is no such network or LoRA, or a weight
            would not be finite.
        PlacementError: if the layers of a network are offloaded or placed one by one.
    """
    scale = number("lora_scale", lora_scale)
    loras = self.attached(Lora)
    names = [n for n in loras if is_active(self.attachments[n])]
    if adapter_names is not None:
        names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
        check_loaded(names, loras)
    networks = _chosen(self, components)
    made = {}
    for component, network in networks.items():
        fitting = {
            name: loras[name]
            for name in names
            if component in loras[name].networks and not is_fused(network, loras[name])
        }
        strengths = {name: inside(self.attachments[name]) or 1.0 for name in fitting}
        if fitting:
            made[component] = _fused(component, network, fitting, strengths, scale)
            if safe_fusing:
                _check_finite(component, made[component], fitting)
    _replace(self, made)
    if not made:
        _log.warning(
            "nothing was fused: no active LoRA changes %s", listed(networks) or "a network"
        )


def unfuse_lora(self: Any, components: Sequence[str] | None = None) -> None:
    """Undo `fuse_lora`: this pipeline has the shared weights again, and its LoRAs act as before.

    After `unload_lora_weights`, fused weights stay.

    Args:
        components: the networks; by default all.

    Raises:
        ArgumentError: if `components` is empty, or there is no such network.
    """
    made = {}
    for component, network in _chosen(self, components).items():
        found = fused_of(network)
        if found is not None and found.origin is not None:
            made[component] = found.origin
    _replace(self, made)


def _fused_loras(self: Any) -> set[str]:
    """The names of the LoRAs that are part of the weights of this pipeline."""
    found = (fused_of(network) for network in self.components.values())
    return {name for fused in found if fused is not None for name in fused.loras}


fused_loras = property(_fused_loras)


def _num_fused_loras(self: Any) -> int:
    """The number of LoRAs that are part of the weights of this pipeline."""
    return len(self.fused_loras)


num_fused_loras = property(_num_fused_loras)


def _chosen(pipe: Any, components: Sequence[str] | None) -> dict[str, nn.Module]:
    networks = networks_of(pipe.components)
    if components is None:
        return networks
    names = [components] if isinstance(components, str) else list(components)
    if not names:
        raise ArgumentError("components is empty; name the networks, or leave it out")
    for name in names:
        if name not in networks and name not in pipe.components:
            raise ArgumentError(
                f"there is no network {shown(name)} to fuse; there are {listed(networks)}"
            )
    return {name: networks[name] for name in names if name in networks}


def _fused(
    component: str,
    network: nn.Module,
    loras: Mapping[str, Lora],
    strengths: Mapping[str, Any],
    scale: float,
) -> nn.Module:
    """Return a network whose weights contain LoRAs."""
    if any(hasattr(m, "_hf_hook") for m in network.modules() if m is not network):
        raise PlacementError(
            f"the layers of {component} are placed one by one, so nothing can be fused into them; "
            f"call remove_all_hooks() first, and place the pipeline again afterwards"
        )
    modules: dict[str, nn.Module] = {}
    for name, lora in loras.items():
        of_module = of_modules(strengths[name], component, network)
        for path, change in lora.changes[component].items():
            module = modules.get(path) or network.get_submodule(path)
            modules[path] = change.merged(module, of_module(path) * scale)
    before = fused_of(network)
    made = with_modules(network, modules)
    known = {} if before is None else dict(before.loras)
    origin = network if before is None else before.origin
    weights = {name: lora.weights for name, lora in loras.items()}
    setattr(made, MARK, Fused(origin, {**known, **weights}))
    return made


def _check_finite(component: str, network: nn.Module, loras: Mapping[str, Lora]) -> None:
    for name, lora in loras.items():
        for path in lora.changes[component]:
            if not all(
                torch.isfinite(one).all() for one in network.get_submodule(path).parameters()
            ):
                raise ArgumentError(
                    f"fusing {shown(name)} gives weights that are not finite in {path} of "
                    f"{component}; nothing was fused"
                )


def _replace(pipe: Any, networks: Mapping[str, nn.Module]) -> None:
    """Give a pipeline other networks, with its attachments on them."""
    for component, network in networks.items():
        setattr(pipe, component, network)
    if networks:
        pipe.set_attachments(dict(pipe.attachments))
