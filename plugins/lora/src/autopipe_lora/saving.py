"""Writing LoRAs by the calls of the reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from autopipe.checkpoint.atomic import replaced_folder
from autopipe.checkpoint.names import is_plain
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import listed, shown

STEM = "pytorch_lora_weights"
METADATA = "lora_adapter_metadata"
"""The name in a header of what peft's config says."""

_LAYERS = "_lora_layers"
_SETTINGS = "_lora_adapter_metadata"


def _save_lora_weights(
    save_directory: str | Path,
    unet_lora_layers: Any = None,
    text_encoder_lora_layers: Any = None,
    *,
    is_main_process: bool = True,
    weight_name: str | None = None,
    save_function: Any = None,
    safe_serialization: bool = True,
    **others: Any,
) -> None:
    """Write layers of a LoRA into a folder, in a file that both libraries load.

    Args:
        save_directory: the folder.
        unet_lora_layers, text_encoder_lora_layers: the tensors by name without the component, or a
            module with them.
        is_main_process: False writes nothing.
        weight_name: the name of the file, `pytorch_lora_weights.safetensors` by default.
        save_function: `(tensors, file)`, which writes the file instead.
        safe_serialization: if True write safetensors, else a pickled state dict.
        **others: the layers of other components, such as `text_encoder_2_lora_layers`; and what
            peft's config of each says, such as `unet_lora_adapter_metadata`.

    Raises:
        ArgumentError: if there are no layers.
        ArgumentTypeError: if they are neither tensors by name nor a module.
    """
    given = {
        f"unet{_LAYERS}": unet_lora_layers,
        f"text_encoder{_LAYERS}": text_encoder_lora_layers,
        **others,
    }
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}
    for name, value in given.items():
        component = name.removesuffix(_LAYERS).removesuffix(_SETTINGS)
        if component == name:
            raise ArgumentTypeError(
                f"save_lora_weights has no keyword {shown(name)}; layers of a component are given "
                f"as COMPONENT{_LAYERS}="
            )
        if name.endswith(_LAYERS):
            tensors |= {f"{component}.{key}": one for key, one in _state(name, value).items()}
        else:
            settings |= {f"{component}.{key}": one for key, one in (value or {}).items()}
    if not tensors:
        raise ArgumentError(
            f"there is nothing to save; give unet{_LAYERS}= or text_encoder{_LAYERS}="
        )
    if is_main_process:
        write_file(
            save_directory,
            tensors,
            settings,
            weight_name=weight_name,
            safe_serialization=safe_serialization,
            save_function=save_function,
        )


save_lora_weights = staticmethod(_save_lora_weights)


def _state(name: str, given: Any) -> Mapping[str, Tensor]:
    state = given.state_dict() if isinstance(given, nn.Module) else given or {}
    if not isinstance(state, Mapping):
        raise ArgumentTypeError(f"{name} must be a state dict or a module, not {shown(given)}")
    if odd := [key for key, one in state.items() if not isinstance(one, Tensor)]:
        raise ArgumentTypeError(f"{name} has entries that are not tensors: {listed(odd, 3)}")
    return state


def write_file(
    folder: str | Path,
    tensors: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    *,
    weight_name: str | None = None,
    safe_serialization: bool = True,
    save_function: Any = None,
) -> None:
    """Write the file of a LoRA into a folder, whole or not at all.

    Args:
        settings: what peft's config says, for the header of a safetensors file.
        weight_name: the name of the file.
        safe_serialization: if True write safetensors, else a pickled state dict.
        save_function: `(tensors, file)`, which writes the file instead.

    Raises:
        ArgumentError: if the folder is a file.
        CheckpointError: if it can't be written.
    """
    suffix = "safetensors" if safe_serialization else "bin"
    name = weight_name or f"{STEM}.{suffix}"
    if not is_plain(name):
        raise ArgumentError(f"weight_name is {shown(name)}; give the plain name of a file")
    # Files have no shared memory.
    whole = {key: one.detach().cpu().contiguous().clone() for key, one in tensors.items()}
    with replaced_folder(folder, lambda _: ()) as staged:
        if save_function is not None:
            save_function(whole, str(staged / name))
        elif not safe_serialization:
            torch.save(whole, staged / name)
        else:
            header = {"format": "pt"}
            if settings:
                plain = {key: _plain(one) for key, one in settings.items()}
                header[METADATA] = json.dumps(plain, indent=2, sort_keys=True)
            save_file(whole, staged / name, metadata=header)


def _plain(value: Any) -> Any:
    """Return a value of a config as JSON has it."""
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    return value if isinstance(value, (bool, int, float, str, list, type(None))) else str(value)
