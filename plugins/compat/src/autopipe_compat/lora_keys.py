"""Key names of LoRA state dicts, as training scripts convert them from one format to another."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError

_PROJECTIONS = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
_SIDES = {"down": "lora_A", "up": "lora_B"}

State = Mapping[str, Tensor]


class StateDictType(Enum):
    """The formats of key names."""

    DIFFUSERS_OLD = "diffusers_old"
    KOHYA_SS = "kohya_ss"
    PEFT = "peft"
    DIFFUSERS = "diffusers"


_OLD_TO_PEFT = {
    f".{old}_lora.{side}": f".{new}.{peft}"
    for old, new in _PROJECTIONS.items()
    for side, peft in _SIDES.items()
} | {f".lora_linear_layer.{side}": f".{peft}" for side, peft in _SIDES.items()}

_DIFFUSERS_TO_PEFT = {f".lora_linear_layer.{side}": f".{peft}" for side, peft in _SIDES.items()} | {
    f"text_projection.lora.{side}.weight": f"text_projection.{peft}.weight"
    for side, peft in _SIDES.items()
}

_PEFT_TO_DIFFUSERS = {
    f".{name}.{peft}": f".{name}.lora_linear_layer.{side}"
    for name in _PROJECTIONS.values()
    for side, peft in _SIDES.items()
} | {
    f"{name}.{peft}": f"{name}.lora.{side}"
    for name in ("to_k", "to_q", "to_v", "to_out.0")
    for side, peft in _SIDES.items()
}

_OLD_TO_DIFFUSERS = {
    f".{old}_lora.{side}": f".{new}.lora_linear_layer.{side}"
    for old, new in _PROJECTIONS.items()
    for side in _SIDES
} | {
    f".{old}.lora_magnitude_vector": f".{new}.lora_magnitude_vector"
    for old, new in _PROJECTIONS.items()
}

_UNET_TO_PEFT = (
    {
        f".{name}_lora.{side}": f".{name.replace('to_out', 'to_out.0')}.{peft}"
        for name in _PROJECTIONS
        for side, peft in _SIDES.items()
    }
    | {f".lora.{side}": f".{peft}" for side, peft in _SIDES.items()}
    | {".to_out.lora_magnitude_vector": ".to_out.0.lora_magnitude_vector"}
)


def convert_state_dict_to_peft(
    state_dict: State, original_type: StateDictType | None = None, **kwargs: Any
) -> dict[str, Tensor]:
    """Return a state dict of text encoders with the key names of peft.

    Args:
        original_type: its format; recognised by its names if None.

    Raises:
        ArgumentError: if its format is not one of diffusers.
    """
    kind = original_type or _recognised(state_dict, "")
    mapping = {
        StateDictType.DIFFUSERS_OLD: _OLD_TO_PEFT,
        StateDictType.DIFFUSERS: _DIFFUSERS_TO_PEFT,
    }
    return _renamed(state_dict, _one_of(mapping, kind))


def convert_state_dict_to_diffusers(
    state_dict: State, original_type: StateDictType | None = None, **kwargs: Any
) -> State:
    """Return a state dict with the key names of diffusers; one that has them is returned itself.

    Args:
        original_type: its format; recognised by its names if None.
        **kwargs: `adapter_name`, if peft's names contain it.

    Raises:
        ArgumentError: if its format is unknown.
    """
    kind = original_type or _recognised(state_dict, _adapter(kwargs))
    if original_type is None and kind is StateDictType.DIFFUSERS:
        return state_dict
    mapping = {
        StateDictType.DIFFUSERS_OLD: _OLD_TO_DIFFUSERS,
        StateDictType.PEFT: _PEFT_TO_DIFFUSERS,
    }
    return _renamed(state_dict, _one_of(mapping, kind))


def convert_unet_state_dict_to_peft(state_dict: State) -> dict[str, Tensor]:
    """Return a state dict of a U-Net in an older format of diffusers with the names of peft."""
    return _renamed(state_dict, _UNET_TO_PEFT)


def convert_all_state_dict_to_peft(state_dict: State) -> dict[str, Tensor]:
    """Return a state dict of a text encoder or a U-Net with the names of peft.

    Raises:
        ArgumentError: if its format is unknown.
    """
    try:
        found = convert_state_dict_to_peft(state_dict)
    except ArgumentError:
        found = convert_unet_state_dict_to_peft(state_dict)
    if not any("lora_A" in name or "lora_B" in name for name in found):
        raise ArgumentError("the state dict has no names of a LoRA that can be converted to peft")
    return found


def convert_state_dict_to_kohya(
    state_dict: State, original_type: StateDictType | None = None, **kwargs: Any
) -> dict[str, Tensor]:
    """Return a state dict of peft with the names of sd-scripts, and an alpha for each layer.

    Args:
        **kwargs: `adapter_name`, if the names contain it.

    Raises:
        ArgumentError: if its format is not that of peft.
    """
    adapter = _adapter(kwargs)
    kind = original_type or _recognised(state_dict, adapter)
    mapping = {StateDictType.PEFT: {"lora_A": "lora_down", "lora_B": "lora_up"}}
    renamed = _renamed(state_dict, _one_of(mapping, kind))
    starts = {"text_encoder_2.": "lora_te2.", "text_encoder.": "lora_te1.", "unet": "lora_unet"}
    found: dict[str, Tensor] = {}
    for name, weight in renamed.items():
        start = next((one for one in starts if one in name), None)
        if start is not None:
            name = name.replace(start, starts[start])
        else:
            name = name.replace("lora_magnitude_vector", "dora_scale")
        name = name.replace(".", "_", name.count(".") - 2).replace(adapter, "")
        found[name] = weight
        if "lora_down" in name:
            found[f"{name.partition('.')[0]}.alpha"] = torch.tensor(len(weight))
    return found


def state_dict_all_zero(state_dict: State, filter_str: str | list[str] | None = None) -> bool:
    """Whether all tensors are zero; with `filter_str` those whose names have one of these parts."""
    parts = [filter_str] if isinstance(filter_str, str) else filter_str
    return all(
        not bool(one.any())
        for name, one in state_dict.items()
        if parts is None or any(part in name for part in parts)
    )


def scale_lora_layers(model: nn.Module, weight: float) -> None:
    """Multiply the strength of layers that peft put into `model`."""
    for layer in _layers_of_peft(model) if weight != 1.0 else ():
        layer.scale_layer(weight)


def unscale_lora_layers(model: nn.Module, weight: float | None = None) -> None:
    """Undo `scale_lora_layers`; a weight of 0 sets the strength of active adapters to 1."""
    for layer in _layers_of_peft(model) if weight not in (None, 1.0) else ():
        if weight:
            layer.unscale_layer(weight)
        else:
            for name in layer.active_adapters:
                layer.set_scale(name, 1.0)


def adjust_lora_scale_text_encoder(text_encoder: nn.Module, lora_scale: float = 1.0) -> None:
    """Set the strength of layers that old releases of diffusers put into a text encoder.

    Nothing puts such layers in here, so this changes only objects of the program's own.
    """
    for module in text_encoder.modules():
        if hasattr(module, "regular_linear_layer") and hasattr(module, "lora_scale"):
            vars(module)["lora_scale"] = lora_scale


def _layers_of_peft(model: nn.Module) -> list[Any]:
    """Return the layers of peft in a network; without peft there are none."""
    try:
        from peft.tuners.tuners_utils import BaseTunerLayer
    except ImportError:
        return []
    return [one for one in model.modules() if isinstance(one, BaseTunerLayer)]


def _adapter(kwargs: Mapping[str, Any]) -> str:
    name = kwargs.get("adapter_name")
    return f".{name}" if name is not None else ""


def _recognised(state: State, adapter: str) -> StateDictType | None:
    if any("to_out_lora" in name for name in state):
        return StateDictType.DIFFUSERS_OLD
    if any(f".lora_A{adapter}.weight" in name for name in state):
        return StateDictType.PEFT
    if any("lora_linear_layer" in name for name in state):
        return StateDictType.DIFFUSERS
    return None


def _one_of(
    mapping: Mapping[StateDictType, Mapping[str, str]], kind: StateDictType | None
) -> Mapping[str, str]:
    if kind is None or kind not in mapping:
        what = "an unknown format" if kind is None else f"the format {kind.value}"
        known = " or ".join(one.value for one in mapping)
        raise ArgumentError(f"the state dict has {what}; convert one of {known}")
    return mapping[kind]


def _renamed(state: State, mapping: Mapping[str, str]) -> dict[str, Tensor]:
    """Replace the first part of each name that the mapping has."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        name = name.replace(".processor.", ".")
        part = next((one for one in mapping if one in name), None)
        found[name if part is None else name.replace(part, mapping[part])] = value
    return found
