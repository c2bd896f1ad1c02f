"""Writes the networks of a pipeline as a single file in the layout of their authors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..attaching.wrappers import unwrapped
from ..errors import ArgumentError, ArgumentTypeError, CheckpointError, UnsupportedCheckpointError
from ..kinds import BaseNetwork
from ..manifest import Reader
from ..registry import Registry, default_registry
from ..regular import replaced
from ..resolution.targets import load_target
from ..wording import listed, logger, shown
from .formats.headers import TensorInfo
from .single.layout import Joined, Layout
from .single.tensors import info_of
from .state import state_of, write_tensors

_log = logger(__name__)

State = Mapping[str, Tensor]


def save_single(pipe: Any, file: str | Path, *, overwrite: bool = False) -> Path:
    """Write the networks of a pipeline as one safetensors file, all of it or nothing.

    What such a file has no place for, such as the tokenizer, is left out.

    Args:
        file: its path, which ends in `.safetensors`.
        overwrite: replace an existing file.

    Returns:
        The path.

    Raises:
        ArgumentError: if `file` is not the name of a new file in a folder.
        UnsupportedCheckpointError: if no installed layout has this pipeline, or a tensor has no
            place in it. Nothing was written.
        CheckpointError: if it can't be written. An existing file is then unchanged.
    """
    path = checked_name(file, overwrite)
    every = {name: unwrapped(one) for name, one in pipe.components.items()}
    networks = {name: one for name, one in every.items() if isinstance(one, nn.Module)}
    tensors, left_out = _joined(type(pipe).__name__, networks, default_registry())
    if left_out:
        _log.warning("%s has no place for %s, so it is left out", path, listed(left_out))
    try:
        with replaced(path) as unfinished:
            write_tensors(tensors, unfinished, safe=True)
    except OSError as error:
        raise CheckpointError(f"{path} can't be written: {error}") from error
    return path


def checked_name(file: str | Path, overwrite: bool) -> Path:
    """Return the path of a single file to write.

    Raises:
        ArgumentTypeError: if `file` is not a path.
        ArgumentError: if it doesn't end in .safetensors, is not in a folder, or exists.
    """
    if not isinstance(file, (str, os.PathLike)):
        raise ArgumentTypeError(f"a single file must be a path, not {shown(file)}")
    text = os.path.expanduser(os.fspath(file))
    if not text.endswith(".safetensors"):
        raise ArgumentError(f"{shown(text)} must end in .safetensors")
    try:
        if "\0" in text:
            raise ValueError
        os.fsencode(text)
    except ValueError:
        message = f"{shown(text)} is not a valid name for a file; give another one"
        raise ArgumentError(message) from None
    path = Path(text)
    if not os.path.isdir(path.parent):
        raise ArgumentError(f"there is no folder {shown(str(path.parent))}; make it first")
    if os.path.isdir(path) or (os.path.lexists(path) and not overwrite):
        raise ArgumentError(f"{path} exists; give another name, or remove it first")
    return path


def _joined(
    pipeline: str, networks: Mapping[str, nn.Module], registry: Registry
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of the single file with these networks, and the networks left out."""
    states = {name: state_of(one, safe=True) for name, one in networks.items()}
    components = {
        name: (_config(networks[name]), {n: info_of(tensor) for n, tensor in state.items()})
        for name, state in states.items()
    }
    layout, plan = _plan(pipeline, components, registry)
    left_out = [name for name in networks if name in layout.left_out]
    placed = {(one.component, name) for one in plan.values() for name in one.names}
    left = [
        f"{component}.{name}"
        for component, state in states.items()
        for name in state
        if component not in left_out and (component, name) not in placed
    ]
    if left:
        raise UnsupportedCheckpointError(
            f"a single file has no place for {listed(left, 5)} of this {pipeline}; save it as a "
            f"folder"
        )
    made = {name: _made(one, states[one.component]) for name, one in plan.items()}
    return made, left_out


def _config(network: Any) -> Mapping[str, Any]:
    config = network.config
    found: Mapping[str, Any] = config if isinstance(network, BaseNetwork) else config.to_dict()
    return dict(found)


def _plan(
    pipeline: str,
    components: Mapping[str, tuple[Mapping[str, Any], Mapping[str, TensorInfo]]],
    registry: Registry,
) -> tuple[type[Layout], Mapping[str, Joined]]:
    """Return the layout that has a place for these components, and the tensors of the file."""
    readers: Mapping[str, Reader] = registry.of("reader")
    for target in dict.fromkeys(reader.target for reader in readers.values()):
        layout: Any = load_target(target)
        if isinstance(layout, type) and issubclass(layout, Layout):
            found = layout.write(pipeline, components)
            if found is not None:
                return layout, found
    raise UnsupportedCheckpointError(
        f"no installed plugin knows the layout of a single file with a {shown(pipeline)}; save it "
        f"as a folder"
    )


def _made(one: Joined, state: State) -> Tensor:
    parts = [state[name] for name in one.names]
    tensor = parts[0] if len(parts) == 1 else torch.cat([*parts])
    if one.transposed:
        tensor = tensor.t()
    return tensor.reshape(*tensor.shape, 1, 1) if one.kernel else tensor
