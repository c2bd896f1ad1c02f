"""Takes calls of a network apart into rows, joins the rows of several calls, and splits results.

A row is what belongs to one sample: the first axis of every tensor counts them. Only the timestep
may be one for all rows of a call; it is expanded, so that rows of different steps can be joined.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

TIMESTEP = "timestep"
"""The name of the argument that all rows of a call may share; a network without it isn't asked in
the steps of a loop."""

Arguments: TypeAlias = tuple[tuple[Any, ...], Mapping[str, Any]]
"""The positional and the keyword arguments of a call."""

_PLAIN = (bool, int, float, str, type(None))


class NotInRows(Exception):
    """Raised if a result has another number of rows than the samples, or parts without rows."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The arguments of a call whose tensors have a row for each sample.

    Attributes:
        count: the number of rows.
        leaves: the tensors (count, ...) and plain values, the timestep as (count,).
        step: the place of the timestep among the leaves.
        tree: the nested positional and keyword arguments that they fill.
        given: the arguments as they were given.
        key: equal for calls that can be joined: the same plain values, dtypes, devices and sizes of
            a row, except for the dtype of the timestep; and the same modes of torch.
    """

    count: int
    leaves: Sequence[Any]
    step: int
    tree: TreeSpec
    given: Arguments
    key: Hashable

    @property
    def timesteps(self) -> Tensor:
        """The timestep of each row, (count,)."""
        found: Tensor = self.leaves[self.step]
        return found

    def with_timesteps(self, timesteps: Tensor) -> Rows:
        """Return the same rows at other timesteps (count,) or (1,)."""
        leaves = list(self.leaves)
        leaves[self.step] = timesteps.expand(self.count)
        return replace(self, leaves=leaves)


def reader_of(network: nn.Module) -> Callable[..., Rows | None] | None:
    """Return a function that reads the arguments of `network.forward` as rows, or None.

    It is None for networks that don't take a timestep beside samples. The function returns None
    for arguments that can't be joined with others: a tensor without a row for each sample, an
    object that is neither a tensor nor a plain value, or recorded gradients.
    """
    try:
        names = list(inspect.signature(network.forward).parameters)
    except (TypeError, ValueError):  # Compiled code has no signature.
        return None
    if TIMESTEP not in names[1:]:
        return None
    first, place = names[0], names.index(TIMESTEP)

    def read(*args: Any, **kwargs: Any) -> Rows | None:
        sample = args[0] if args else kwargs.get(first)
        if not isinstance(sample, Tensor) or sample.ndim < 2 or torch.is_grad_enabled():
            return None
        count = sample.shape[0]
        given = args, kwargs
        timestep = args[place] if len(args) > place else kwargs.get(TIMESTEP)
        steps = _expanded(timestep, count, sample.device)
        if steps is None:
            return None
        if len(args) > place:
            args = (*args[:place], steps, *args[place + 1 :])
        else:
            kwargs = {**kwargs, TIMESTEP: steps}
        leaves, tree = tree_flatten((args, kwargs))
        step = next(i for i, one in enumerate(leaves) if one is steps)
        kinds = [_kind(one, count) for one in leaves]
        if any(kind is None for kind in kinds):
            return None
        kinds[step] = steps.device
        return Rows(count, leaves, step, tree, given, (tree, *kinds, *_modes(sample.device)))

    return read


def joined(parts: Sequence[Rows]) -> Arguments:
    """Return the arguments of one call with the rows of all `parts`, which have one key.

    Timesteps of different dtypes are promoted as in arithmetic: whole numbers to floats.
    """
    leaves = [
        (torch.cat(column) if len(column) > 1 else column[0])
        if isinstance(column[0], Tensor)
        else column[0]
        for column in zip(*(part.leaves for part in parts))
    ]
    args, kwargs = tree_unflatten(leaves, parts[0].tree)
    return args, kwargs


def split(output: Any, counts: Sequence[int]) -> list[Any]:
    """Return the output of each part of a joined call; `counts` are their numbers of rows.

    Raises:
        NotInRows: if a tensor doesn't have that many rows in all, or the output has other objects
            than tensors and plain values.
    """
    leaves, tree = tree_flatten(output)
    columns: list[Sequence[Any]] = []
    for one in leaves:
        if isinstance(one, Tensor) and one.ndim and one.shape[0] == sum(counts):
            columns.append(torch.split(one, list(counts)))
        elif isinstance(one, _PLAIN):
            columns.append([one] * len(counts))
        else:
            raise NotInRows
    return [tree_unflatten(list(row), tree) for row in zip(*columns)]


def _expanded(timestep: Any, count: int, device: torch.device) -> Tensor | None:
    """Return the timesteps of `count` rows, or None for what is neither one nor one for each."""
    if type(timestep) in (int, float):
        timestep = torch.tensor(timestep, device=device)
    if isinstance(timestep, Tensor) and timestep.shape in ((), (1,), (count,)):
        # A new object, which its leaf is found by.
        return timestep.reshape(-1).expand(count)
    return None


def _kind(leaf: Any, count: int) -> Hashable:
    """Return what has to be equal in calls that are joined, or None if this can't be joined."""
    if type(leaf) in _PLAIN:
        return type(leaf), leaf
    if type(leaf) not in (Tensor, nn.Parameter) or leaf.layout is not torch.strided:
        return None
    if leaf.ndim == 0 or leaf.shape[0] != count:
        return None
    return leaf.shape[1:], leaf.dtype, leaf.device


def _modes(device: torch.device) -> tuple[Hashable, ...]:
    """Return the modes of this thread that the results depend on."""
    cast = torch.is_autocast_enabled(device.type) and torch.get_autocast_dtype(device.type)
    stream = torch.cuda.current_stream(device) if device.type == "cuda" else None
    return torch.is_inference_mode_enabled(), cast, stream
