"""Loading LoRAs by the calls of the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from autopipe.checkpoint.attachable import open_tensors
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import listed, logger, shown

from .addon import NAMES, Lora
from .fused import give_up_origin
from .strengths import Disabled
from .switching import changed_in

_log = logger(__name__)


def load_lora_weights(
    self: Any,
    pretrained_model_name_or_path_or_dict: Any,
    adapter_name: str | None = None,
    hotswap: bool = False,
    *,
    low_cpu_mem_usage: bool = True,
    **options: Any,
) -> None:
    """Attach a LoRA, and make it the only active one of the networks that it changes.

    If LoRAs are disabled, it is disabled, too.

    Args:
        pretrained_model_name_or_path_or_dict: a file, a folder, a repository id, `"demo:NAME"`, or
            a state dict.
        adapter_name: its name; by default `default_0` and so on.
        hotswap: whether it takes the place of the one that has this name.
        low_cpu_mem_usage: has no effect: memory is always used sparingly.
        **options: `weight_name`, `subfolder`, and the keywords of loading from repositories.

    Raises:
        ArgumentError: if the name is in use, or for `hotswap` isn't.
        CheckpointError: if there is no such file, or it is damaged.
        WeightsMismatchError: if nothing in the file is for the networks of this pipeline, or a
            shape doesn't fit.
    """
    name = _free_name(self, adapter_name, hotswap)
    lora = Lora(pretrained_model_name_or_path_or_dict, **options)
    lora.check(self)
    _tell_unused(lora)
    before = dict(self.attachments)
    loras = self.attached(Lora)
    strength: Any = before[name] if hotswap else 1.0
    if not hotswap and any(isinstance(before[one], Disabled) for one in loras):
        strength = Disabled(1.0)
    others = {n: s for n, s in before.items() if n != name}
    if not hotswap:
        off = {n: changed_in(one, others[n], lora.networks, 0.0) for n, one in loras.items()}
        others |= off
    if hotswap:
        self.detach(name)
    try:
        if others != before:
            self.set_attachments(others)
        self.attach(lora, name=name, strength=strength)
    except BaseException:
        if hotswap:
            self.attach(loras[name], name=name)
        self.set_attachments({n: s for n, s in before.items() if n in self.attachments})
        raise


def _free_name(pipe: Any, wanted: str | None, hotswap: bool) -> str:
    """Return the name of a new LoRA.

    Raises:
        ArgumentError: if it is in use, or should be and isn't.
    """
    if wanted is not None and not isinstance(wanted, str):
        raise ArgumentTypeError(f"adapter_name={shown(wanted)} is not a string")
    loras = pipe.attached(Lora)
    if hotswap:
        if wanted not in loras:
            raise ArgumentError(
                f"hotswap= replaces a LoRA, but none is called {shown(wanted)}; loaded: "
                f"{listed(loras) or 'none'}"
            )
        return str(wanted)
    if wanted in pipe.attachments:
        raise ArgumentError(
            f"the name {shown(wanted)} is in use; choose another adapter_name, delete that one "
            f"first, or give hotswap=True to replace it"
        )
    if wanted is not None:
        return wanted
    number = len(loras)
    while f"default_{number}" in pipe.attachments:
        number += 1
    return f"default_{number}"


def _tell_unused(lora: Lora) -> None:
    """Log which keys of a file have no effect."""
    report = lora.report
    if report.unmatched:
        _log.warning(
            "%d keys of %s are for layers that this pipeline doesn't have: %s",
            len(report.unmatched),
            lora.origin,
            listed(report.unmatched, 3),
        )
    by_reason: dict[str, list[str]] = {}
    for key, why in report.skipped.items():
        by_reason.setdefault(why, []).append(key)
    for why, keys in by_reason.items():
        _log.warning("%d keys of %s are not used (%s): %s", len(keys), lora.origin, why, keys[0])


def _lora_state_dict(
    pretrained_model_name_or_path_or_dict: Any,
    *,
    return_lora_metadata: bool = False,
    unet_config: Any = None,
    **options: Any,
) -> Any:
    """Return the tensors of a LoRA file by their names in it, and None for alphas of their own.

    `load_lora_weights` takes the dict, whatever the format.

    Args:
        pretrained_model_name_or_path_or_dict: as for `load_lora_weights`.
        return_lora_metadata: return the metadata of the header, too.
        unet_config: has no effect: names are matched when the dict is loaded.
        **options: as for `load_lora_weights`.
    """
    file = open_tensors(pretrained_model_name_or_path_or_dict, names=NAMES, **options)
    tensors: Mapping[str, Tensor] = dict(file.tensors)
    return (tensors, None, dict(file.metadata)) if return_lora_metadata else (tensors, None)


lora_state_dict = staticmethod(_lora_state_dict)


def unload_lora_weights(self: Any, reset_to_overwritten_params: bool = False) -> None:
    """Detach all LoRAs. What was fused stays in the weights, and can't be undone any more.

    Args:
        reset_to_overwritten_params: has no effect: no LoRA overwrites parameters here.
    """
    for name in self.attached(Lora):
        self.detach(name)
    for network in self.components.values():
        give_up_origin(network)
