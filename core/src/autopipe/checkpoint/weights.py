"""Fills the parameters and buffers of a network with tensors from files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, QuantizedWeightsError, WeightsMismatchError
from ..wording import cut, listed, logger
from .files import Weights
from .formats.kinds import layout_of, plain_tensor_name, quantized_by
from .formats.tensors import Target, read_safetensors
from .source import Source

_log = logger(__name__)

_SHOWN = 5
"""The number of names that a message lists."""

COMPUTE = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
"""The dtypes with which layers compute; smaller ones only store weights."""


@dataclass(frozen=True)
class LoadingInfo:
    """The differences between the state dict of files and that of the network.

    Attributes:
        missing: names of the network that no file has.
        unexpected: names of the files that the network doesn't have.
        mismatched: names with different shapes, with the shapes in the file and the network.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, torch.Size, torch.Size], ...] = ()

    def as_dict(self) -> dict[str, list[Any]]:
        """Return the dict that `output_loading_info=True` returns."""
        return {
            "missing_keys": list(self.missing),
            "unexpected_keys": list(self.unexpected),
            "mismatched_keys": list(self.mismatched),
            "error_msgs": [],
        }


@dataclass(frozen=True)
class Casting:
    """The dtype to which each tensor of a file is cast.

    Attributes:
        dtype: the dtype of floating-point tensors; None keeps that of the file.
        kept: parts of names (such as `wo` of `block.wo.weight`) that stay float32 if `dtype` is
            smaller.
    """

    dtype: torch.dtype | None
    kept: Collection[str] = ()

    def __call__(self, name: str, own: torch.dtype) -> torch.dtype:
        """Return the dtype for a tensor whose dtype in the file is `own`."""
        if self.dtype is None or not own.is_floating_point:
            return own
        smaller = self.dtype.itemsize < torch.float32.itemsize
        is_kept = smaller and self.kept and not set(name.split(".")).isdisjoint(self.kept)
        return torch.float32 if is_kept else self.dtype


def read_weights(
    source: Source, weights: Weights, target: Target, disable_mmap: bool | None = None
) -> dict[str, Tensor]:
    """Read all tensors of the fetched files of `weights`."""
    if weights.format == "safetensors":
        headers = {source.place(file.path): source.header(file.path) for file in weights.files}
        return read_safetensors(headers, target, disable_mmap, source.open)
    _log.warning(
        "%s is a pickle and is read with the restricted loader; safetensors, which "
        "save_pretrained writes, are safer and load faster",
        source.place(weights.files[0].path),
    )
    return source.pickled([file.path for file in weights.files], target)


def without_wrappers(model: nn.Module, state: dict[str, Tensor], origin: str) -> dict[str, Tensor]:
    """Return `state` without the prefixes of a wrapper in which the network was saved.

    Args:
        origin: the origin of the tensors, for the log.
    """
    bare = {name: plain_tensor_name(name) for name in state}
    if all(name == one for name, one in bare.items()):
        return state
    own = model.state_dict().keys()
    if len(set(bare.values())) < len(bare) or any(plain_tensor_name(name) != name for name in own):
        return state
    _log.warning(
        "%s was saved from a wrapper of the network (DataParallel, torch.compile or FSDP); the "
        "wrapper's part of the tensor names is ignored, as in %s",
        origin,
        cut(next(name for name, one in bare.items() if name != one)),
    )
    return {bare[name]: tensor for name, tensor in state.items()}


def fill(
    model: nn.Module,
    state: Mapping[str, Tensor],
    *,
    origin: str,
    dtype: torch.dtype | None = None,
    initialised: bool = False,
    ignore_mismatched_sizes: bool = False,
) -> LoadingInfo:
    """Replace the tensors of the network by those of `state`, without copying.

    Args:
        origin: the origin of the tensors, for messages.
        dtype: the dtype that the caller requested, even if layers can't compute with it.
        initialised: whether the network has initial values, so that missing tensors may keep them.
        ignore_mismatched_sizes: whether tensors of another shape may keep them, too.

    Raises:
        WeightsMismatchError: if a tensor is missing or has another shape, or if one of the file
            and the network is an integer tensor and the other is not.
        QuantizedWeightsError: if the names are those of quantized weights.
    """
    tied: dict[int, tuple[Tensor, list[str]]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor):
            tied.setdefault(id(tensor), (tensor, []))[1].append(name)
    names = {name for _, group in tied.values() for name in group}
    if method := quantized_by(name for name in state if name not in names):
        raise QuantizedWeightsError.of(origin, method)
    mismatched: list[tuple[str, torch.Size, torch.Size]] = []
    missing: list[str] = []
    odd: list[str] = []
    for own, group in tied.values():
        found = next((name for name in group if name in state), None)
        if found is None:
            missing.append(group[0])
        elif not _fits(state[found].dtype, own.dtype, dtype):
            odd.append(found)
        elif state[found].shape != own.shape:
            mismatched.append((found, state[found].shape, own.shape))
        else:
            _put(model, group, own, state[found])
    if odd:
        raise WeightsMismatchError(_why_odd(type(model).__name__, state, odd, origin))
    unexpected = tuple(name for name in state if name not in names)
    info = LoadingInfo(tuple(missing), unexpected, tuple(mismatched))
    if info != LoadingInfo():
        _complain(model, info, origin, initialised, ignore_mismatched_sizes)
    return info


def _fits(found: torch.dtype, own: torch.dtype, wanted: torch.dtype | None) -> bool:
    """Whether a tensor of the dtype `found` can replace one of the dtype `own`."""
    if own.is_floating_point:
        return found in COMPUTE or found is wanted
    return found.is_complex == own.is_complex and not found.is_floating_point


def _why_odd(model: str, state: Mapping[str, Tensor], odd: list[str], origin: str) -> str:
    kinds = {state[name].dtype for name in odd}
    shown = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
    if all(kind.is_floating_point for kind in kinds):
        hint = "Pass torch_dtype=torch.float16, or another dtype that layers compute with"
    else:
        hint = (
            "They are quantized or damaged; fetch the checkpoint again, or use one that is not "
            "quantized"
        )
    return (
        f"{origin} has tensors of {shown}, with which {model} can't compute: "
        f"{listed(odd, _SHOWN)}. {hint}"
    )


def _put(model: nn.Module, names: Iterable[str], own: Tensor, tensor: Tensor) -> None:
    """Set all of `names` to `tensor`."""
    is_parameter = isinstance(own, nn.Parameter)
    grows = own.requires_grad and (tensor.is_floating_point() or tensor.is_complex())
    value = nn.Parameter(tensor, requires_grad=grows) if is_parameter else tensor
    for name in names:
        owner, _, attribute = name.rpartition(".")
        module = model.get_submodule(owner)
        table: dict[str, Any] = module._parameters if is_parameter else module._buffers
        table[attribute] = value


def _complain(
    model: nn.Module, info: LoadingInfo, origin: str, initialised: bool, ignore: bool
) -> None:
    name = type(model).__name__
    if info.mismatched and not ignore:
        shown = "; ".join(
            f"{key} has the shape {tuple(found)} instead of {tuple(expected)}"
            for key, found, expected in info.mismatched[:_SHOWN]
        )
        raise WeightsMismatchError(
            f"the weights in {origin} don't fit the config of {name}: {shown}"
            f"{_more(info.mismatched)}. Correct the config, or pass ignore_mismatched_sizes=True "
            f"to initialise these tensors"
        )
    if info.missing and not initialised:
        hint = layout_of(info.unexpected) or (
            f"Fetch the checkpoint again, or check that it is one of {name}; "
            f"low_cpu_mem_usage=False initialises them, for training"
        )
        raise WeightsMismatchError(
            f"the weights in {origin} lack {listed(info.missing, _SHOWN)}, which {name} needs. "
            f"{hint}"
        )
    if info.missing or info.mismatched:
        fresh = (*info.missing, *(key for key, *_ in info.mismatched))
        text = "%s of %s are newly initialised; train them before use"
        _log.warning(text, listed(fresh, _SHOWN), name)
    if info.unexpected:
        _log.warning(
            "%s has weights that %s doesn't use: %s", origin, name, listed(info.unexpected, _SHOWN)
        )


def finish(model: nn.Module, state: Mapping[str, Tensor], target: Target, origin: str) -> None:
    """Cast tensors that are not in the files (initial values, computed buffers) like the others.

    Raises:
        CheckpointError: if a tensor of the network has no values.
    """
    empty = []
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            empty.append(name)
        elif name not in state and target(name, tensor.dtype) != tensor.dtype:
            _put(model, [name], tensor, tensor.detach().to(target(name, tensor.dtype)))
    if empty:
        raise CheckpointError(
            f"{type(model).__name__} has tensors that {origin} doesn't fill: "
            f"{listed(empty, _SHOWN)}; load with low_cpu_mem_usage=False"
        )


def _more(every: Collection[object]) -> str:
    return f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
