"""Collects the tensors of a network for a file, and writes them."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..attaching.wrappers import plain_state
from ..errors import ArgumentError
from ..kinds import BaseNetwork
from ..wording import listed
from .build import WithoutMemory
from .foreign import models
from .formats.tensors import TORCH_DTYPES


def state_of(model: nn.Module, *, safe: bool) -> dict[str, Tensor]:
    """Return the tensors to write, which don't share memory, under the names that loading needs.

    Args:
        safe: whether the format is safetensors, which supports fewer dtypes.

    Raises:
        ArgumentError: if loading could not restore the tensors.
    """
    state = plain_state(model)
    dtypes = TORCH_DTYPES.values() if safe else None
    if bad := [name for name, tensor in state.items() if not _is_plain(tensor, dtypes)]:
        raise ArgumentError(
            f"{type(model).__name__} can't be saved while {listed(bad, 5)} are not plain tensors "
            f"with values; undo offloading, quantization or packing first. If they are sharded "
            f"over processes, call get_model_state_dict of torch.distributed.checkpoint.state_dict "
            f"with full_state_dict=True in all of them, load the result into another network, and "
            f"save that"
        )
    owners = _owners(model)
    there = {owners.get(name) for name in state}
    if lacking := [name for name in dict.fromkeys(owners.values()) if name not in there]:
        raise ArgumentError(
            f"{type(model).__name__} can't be saved, because it lacks {listed(lacking, 5)}, which "
            f"loading needs. If they are computed from other parameters (weight or spectral norm, "
            f"pruning), first call remove_parametrizations of torch.nn.utils.parametrize, or "
            f"remove of torch.nn.utils.prune"
        )
    by_tensor: dict[int, str] = {}
    first = {name: by_tensor.setdefault(id(tensor), name) for name, tensor in state.items()}
    seen: set[int] = set()
    kept: dict[str, Tensor] = {}
    for name, tensor in state.items():
        owner = owners.get(name, name)
        if owner in kept:
            if first[name] != first[owner] and not torch.equal(tensor, state[owner]):
                raise ArgumentError(
                    f"{type(model).__name__} can't be saved: {owner} and {name} are tied when it "
                    f"is loaded, but differ here; give them the same values"
                )
            continue
        place = tensor.untyped_storage().data_ptr()
        kept[name] = tensor.detach().clone() if place in seen else tensor.detach()
        seen.add(place)
    return kept


def _is_plain(tensor: object, dtypes: Collection[torch.dtype] | None) -> bool:
    """Whether `tensor` can be written to a file, whose dtypes may be limited to `dtypes`."""
    return (
        isinstance(tensor, Tensor)
        and type(tensor.detach()) is Tensor
        and tensor.layout is torch.strided
        and not (tensor.is_meta or tensor.is_quantized or hasattr(tensor, "_fsdp_flattened"))
        and (dtypes is None or tensor.dtype in dtypes)
    )


def _owners(model: Any) -> dict[str, str]:
    """Map each tensor name to the first name of the same tensor in a new object of the class.

    Of tensors that the class ties, loading needs one name. Tensors that are shared only in this
    object are needed under all their names.
    """
    cls, origin = type(model), Path(type(model).__name__)
    try:
        with WithoutMemory():
            if isinstance(model, BaseNetwork):
                fresh: nn.Module = cls.from_config(model.config)
            else:
                fresh = models.build(cls, model.config.to_dict(), origin)
    except Exception:
        # The network can't be rebuilt from its config, so nothing is known.
        return {}
    owners: dict[int, str] = {}
    state = fresh.state_dict(keep_vars=True)
    return {name: owners.setdefault(id(tensor), name) for name, tensor in state.items()}


def write_tensors(state: dict[str, Tensor], file: Path, safe: bool) -> None:
    """Write one file.

    Raises:
        OSError: if it can't be written; the writers' own errors are converted.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        if safe:
            save_file(
                {n: t.contiguous() for n, t in state.items()}, file, metadata={"format": "pt"}
            )
        else:
            with file.open("wb") as stream:
                torch.save({name: tensor.clone() for name, tensor in state.items()}, stream)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise OSError(errno.EIO, str(error).partition("\n")[0]) from error
    # safetensors makes files that only their owner may read; use the folder's permissions.
    file.chmod(file.parent.stat().st_mode & 0o666)
