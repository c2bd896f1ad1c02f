"""Switching LoRAs by the calls of the reference, for one pipeline."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from autopipe.errors import ArgumentError, nearest
from autopipe.placement.base import networks_of
from autopipe.placement.devices import DeviceLike
from autopipe.wording import listed, logger, shown

from .addon import Lora, scale_of
from .strengths import Disabled, of_component

_log = logger(__name__)


def set_adapters(
    self: Any, adapter_names: str | Sequence[str], adapter_weights: Any = None
) -> None:
    """Activate these LoRAs with these weights, and no others.

    Args:
        adapter_names: the name of a LoRA, or several.
        adapter_weights: a number or a dict for all of them, or a list with one for each; None is 1.
            A dict has weights by component, and for a U-Net by block, such as
            `{"unet": {"down": 0.9, "mid": 0.2, "up": {"block_1": [0.4, 0.8, 1.3]}}}`. What it
            leaves out is 1.

    Raises:
        ArgumentError: if there is no LoRA of a name, the lengths differ, or a dict names a block
            that the network doesn't have.
    """
    names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
    given = adapter_weights if isinstance(adapter_weights, list) else [adapter_weights] * len(names)
    if len(given) != len(names):
        raise ArgumentError(
            f"{len(names)} LoRAs are named, but {len(given)} weights given; give one for each"
        )
    loras = self.attached(Lora)
    check_loaded(names, loras)
    networks = networks_of(self.components)
    chosen: dict[str, Any] = {}
    for name, weight in zip(names, given):
        if isinstance(weight, Mapping):
            weight = _of_networks(name, weight, networks, loras[name])
        # A dict counts as active, as a weight of 0 does in the reference.
        chosen[name] = dict.fromkeys(loras[name].networks, 0.0) if weight == 0 else weight
        if weight is None:
            chosen[name] = 1.0
    if _is_disabled(self):
        chosen = {name: Disabled(chosen.get(name, 0.0)) for name in loras}
    self.set_attachments({**dict.fromkeys(loras, 0.0), **_others(self), **chosen})


def _of_networks(
    name: str, weights: Mapping[str, Any], networks: Collection[str], lora: Lora
) -> dict[str, Any]:
    """Return the weights of networks that there are, and log which are ignored."""
    for component in weights:
        if component not in networks:
            _log.warning("the weight of %s is ignored: there is no such network", component)
        elif component not in lora.networks:
            _log.warning("the weight of %s is ignored: %s doesn't change it", component, name)
    return {component: one for component, one in weights.items() if component in networks}


def get_active_adapters(self: Any) -> list[str]:
    """Return the names of the active LoRAs, also while they are disabled."""
    return [name for name in self.attached(Lora) if is_active(self.attachments[name])]


def get_list_adapters(self: Any) -> dict[str, list[str]]:
    """Return the names of the LoRAs of each network, active or not."""
    found: dict[str, list[str]] = {}
    for name, lora in self.attached(Lora).items():
        for component in lora.networks:
            found.setdefault(component, []).append(name)
    return {name: found[name] for name in self.components if name in found}


def disable_lora(self: Any) -> None:
    """Deactivate all LoRAs until `enable_lora`; those loaded meanwhile are disabled, too."""
    self.set_attachments(
        {n: Disabled(inside(self.attachments[n])) for n in self.attached(Lora)} | _others(self)
    )


def enable_lora(self: Any) -> None:
    """Activate the LoRAs again that were active before `disable_lora`."""
    self.set_attachments(
        {n: inside(self.attachments[n]) for n in self.attached(Lora)} | _others(self)
    )


def delete_adapters(self: Any, adapter_names: str | Sequence[str]) -> None:
    """Detach LoRAs from all pipelines that share the weights.

    Raises:
        ArgumentError: if there is no LoRA of a name.
    """
    names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
    check_loaded(names, self.attached(Lora))
    for name in names:
        self.detach(name)


def set_lora_device(self: Any, adapter_names: str | Sequence[str], device: DeviceLike) -> None:
    """Move the tensors of LoRAs. Calls bring those that they use back by themselves.

    Raises:
        ArgumentError: if there is no LoRA of a name.
    """
    names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
    loras = self.attached(Lora)
    check_loaded(names, loras)
    for name in names:
        weights = loras[name].weights
        assert weights is not None, "an attached LoRA has its tensors"
        weights.to(device)


def enable_lora_hotswap(self: Any, **options: Any) -> None:
    """Has no effect: `hotswap=True` needs no preparation."""


def _lora_scale(self: Any) -> float:
    """By what a running call multiplies the weights of LoRAs; 1 outside a call."""
    return scale_of(self.call) if self.is_run else 1.0


lora_scale = property(_lora_scale)


def changed_in(lora: Lora, strength: Any, components: Collection[str], value: float) -> Any:
    """Return a strength of `lora` that is `value` in these components."""
    if isinstance(strength, Disabled):
        return Disabled(changed_in(lora, strength.strength, components, value))
    if not strength:
        return strength
    parts = {
        name: value if name in components else of_component(strength, name)
        for name in lora.networks
    }
    return parts if any(name not in components for name in parts) else 0.0


def is_active(strength: Any) -> bool:
    """Whether a LoRA is active, or will be when LoRAs are enabled."""
    return bool(inside(strength))


def inside(strength: Any) -> Any:
    """Return the strength that a LoRA has when it is enabled."""
    return strength.strength if isinstance(strength, Disabled) else strength


def _is_disabled(pipe: Any) -> bool:
    return any(isinstance(pipe.attachments[name], Disabled) for name in pipe.attached(Lora))


def _others(pipe: Any) -> dict[str, Any]:
    """Return the strengths of other attachments."""
    loras = pipe.attached(Lora)
    return {name: one for name, one in pipe.attachments.items() if name not in loras}


def check_loaded(names: Sequence[Any], loras: Mapping[str, Lora]) -> None:
    """Raise `ArgumentError` if there is no LoRA of a name."""
    for name in names:
        if name not in loras:
            raise ArgumentError(
                f"there is no LoRA {shown(name)}; loaded: {listed(loras) or 'none'}."
                f"{nearest(name, loras)}"
            )
