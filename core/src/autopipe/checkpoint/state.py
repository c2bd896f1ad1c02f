"""The tensors of a network as files hold them."""

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
    """The tensors to write, no two of which share memory, under all names that a load needs.

    Args:
        safe: for a file of safetensors, which holds fewer dtypes.

    Raises:
        ArgumentError: a load could not give them back.
    """
    state = plain_state(model)
    dtypes = TORCH_DTYPES.values() if safe else None
    if bad := [name for name, tensor in state.items() if not _is_plain(tensor, dtypes)]:
        raise ArgumentError(
            f"{type(model).__name__} can't be saved while {listed(bad, 5)} are not plain tensors "
            f"with all their values; undo what offloads, quantizes or packs them first. What is "
            f"sharded over processes is gathered by all of them with get_model_state_dict of "
            f"torch.distributed.checkpoint.state_dict and full_state_dict=True: load that into a "
            f"network of its own, and save that one"
        )
    owners = _owners(model)
    there = {owners.get(name) for name in state}
    if lacking := [name for name in dict.fromkeys(owners.values()) if name not in there]:
        raise ArgumentError(
            f"{type(model).__name__} can't be saved, since it lacks {listed(lacking, 5)}, without "
            f"which it can't be loaded. What is computed from other parameters (by weight or "
            f"spectral norm, or pruning) is made one again by remove_parametrizations of "
            f"torch.nn.utils.parametrize, or remove of torch.nn.utils.prune; do that first"
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
                    f"{type(model).__name__} can't be saved: {owner} and {name} are one tensor "
                    f"wherever it is loaded, and differ here; give them the same values"
                )
            continue
        place = tensor.untyped_storage().data_ptr()
        kept[name] = tensor.detach().clone() if place in seen else tensor.detach()
        seen.add(place)
    return kept


def _is_plain(tensor: object, dtypes: Collection[torch.dtype] | None) -> bool:
    """Whether a file can hold `tensor`; one of safetensors those of `dtypes`."""
    return (
        isinstance(tensor, Tensor)
        and type(tensor.detach()) is Tensor
        and tensor.layout is torch.strided
        and not (tensor.is_meta or tensor.is_quantized or hasattr(tensor, "_fsdp_flattened"))
        and (dtypes is None or tensor.dtype in dtypes)
    )


def _owners(model: Any) -> dict[str, str]:
    """By name of a tensor: the first name that the class gives to the same one whenever it is made.

    A load needs each of these first names, under one of its names; and all that are shared in this
    one object alone.
    """
    cls, origin = type(model), Path(type(model).__name__)
    try:
        with WithoutMemory():
            if isinstance(model, BaseNetwork):
                fresh: nn.Module = cls.from_config(model.config)
            else:
                fresh = models.build(cls, model.config.to_dict(), origin)
    except Exception:
        # The config doesn't say how the network was made, so nothing is known.
        return {}
    owners: dict[int, str] = {}
    state = fresh.state_dict(keep_vars=True)
    return {name: owners.setdefault(id(tensor), name) for name, tensor in state.items()}


def write_tensors(state: dict[str, Tensor], file: Path, safe: bool) -> None:
    """Write one file.

    Raises:
        OSError: it can't be written; both writers say so in ways of their own.
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
    # safetensors makes files that only their owner may read; others of the team load them too.
    file.chmod(file.parent.stat().st_mode & 0o666)
