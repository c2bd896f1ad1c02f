"""Writes the networks of a pipeline as a single file in the layout of their authors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ArgumentError, CheckpointError, UnsupportedCheckpointError
from ...manifest import Reader
from ...regular import replaced
from ...registry import Registry
from ...resolution.targets import load_target
from ...wording import listed, shown
from ..formats.headers import TensorInfo
from .layout import Joined, Layout
from .tensors import info_of

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]


def joined(
    pipeline: str,
    configs: Mapping[str, Mapping[str, Any]],
    states: Mapping[str, State],
    registry: Registry,
) -> dict[str, Tensor]:
    """Return the tensors of the single file with these networks.

    Args:
        pipeline: the class of the pipeline.
        configs, states: the config and the state dict of each network, by component.

    Raises:
        UnsupportedCheckpointError: if no installed layout has this pipeline, or a tensor has no
            place in it.
    """
    components = {
        name: (configs[name], {n: info_of(tensor) for n, tensor in state.items()})
        for name, state in states.items()
    }
    plan = _plan(pipeline, components, registry)
    placed = {(one.component, name) for one in plan.values() for name in one.names}
    left = [f"{c}.{n}" for c, state in states.items() for n in state if (c, n) not in placed]
    if left:
        raise UnsupportedCheckpointError(
            f"a single file has no place for {listed(left, 5)} of this {pipeline}; save it as a "
            f"folder"
        )
    return {name: _made(one, states[one.component]) for name, one in plan.items()}


def _plan(
    pipeline: str,
    components: Mapping[str, tuple[Mapping[str, Any], Mapping[str, TensorInfo]]],
    registry: Registry,
) -> Mapping[str, Joined]:
    readers: Mapping[str, Reader] = registry.of("reader")
    for target in dict.fromkeys(reader.target for reader in readers.values()):
        layout: Any = load_target(target)
        if isinstance(layout, type) and issubclass(layout, Layout):
            found = layout.write(pipeline, components)
            if found is not None:
                return found
    raise UnsupportedCheckpointError(
        f"no installed plugin knows the layout of a single file with a {shown(pipeline)}; save it "
        f"as a folder"
    )


def _made(one: Joined, state: State) -> Tensor:
    import torch

    parts = [state[name] for name in one.names]
    tensor = parts[0] if len(parts) == 1 else torch.cat([*parts])
    if one.transposed:
        tensor = tensor.t()
    return tensor.reshape(*tensor.shape, 1, 1) if one.kernel else tensor


def checked_name(file: str | Path, overwrite: bool) -> Path:
    """Return the path of a single file to write.

    Raises:
        ArgumentError: if it is not the name of a .safetensors file in a folder, or exists.
    """
    path = Path(os.path.expanduser(file))
    if path.suffix != ".safetensors":
        raise ArgumentError(f"{shown(str(file))} must end in .safetensors")
    if not path.parent.is_dir():
        raise ArgumentError(f"there is no folder {path.parent}; make it first")
    if path.is_dir() or (path.exists() and not overwrite):
        raise ArgumentError(f"{path} exists; give another name, or remove it first")
    return path


def write_file(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write `tensors` as a safetensors file, all of it or nothing.

    Raises:
        CheckpointError: if it can't be written. An existing file is then unchanged.
    """
    from ..state import write_tensors

    try:
        with replaced(file) as unfinished:
            write_tensors(dict(tensors), unfinished, safe=True)
    except OSError as error:
        raise CheckpointError(f"{file} can't be written: {error}") from error
