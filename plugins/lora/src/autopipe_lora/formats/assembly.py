"""Makes a layer of the tensors that a file has for it, and checks that they fit the module."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from autopipe.errors import DamagedFileError, WeightsMismatchError
from autopipe.wording import listed, shown

from .factors import Pair, difference, hadamard, kronecker, low_rank
from .layers import LoraLayer

Scale: TypeAlias = Callable[[int], float]
"""A function from the rank of a layer without alpha to its scale."""

_KEPT = (torch.float32, torch.float16, torch.bfloat16)
"""Dtypes that stay; others, which have little arithmetic, become float32."""

_ANY_AXES = frozenset({"alpha", "magnitude", "dora_scale", "up_bias", "diff_b", "diff"})


@dataclass(frozen=True)
class _Kind:
    """A way to write a change: what it needs, what it may have, and how it becomes a pair."""

    needs: tuple[frozenset[str], ...]
    may: frozenset[str]
    pair: Callable[[Mapping[str, Tensor], tuple[int, ...]], Pair]

    @property
    def roles(self) -> frozenset[str]:
        return self.may.union(*self.needs)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KINDS = (
    _Kind((_names("down up"),), _names("mid up_bias"), low_rank),
    _Kind(
        (
            _names("hada_w1_a hada_w1_b hada_w2_a hada_w2_b"),
            _names("hada_w1_a hada_w1_b hada_w2_a hada_w2_b hada_t1 hada_t2"),
        ),
        frozenset(),
        hadamard,
    ),
    _Kind(
        (
            _names("lokr_w1 lokr_w2"),
            _names("lokr_w1_a lokr_w1_b lokr_w2"),
            _names("lokr_w1 lokr_w2_a lokr_w2_b"),
            _names("lokr_w1_a lokr_w1_b lokr_w2_a lokr_w2_b"),
            _names("lokr_w1 lokr_w2_a lokr_w2_b lokr_t2"),
            _names("lokr_w1_a lokr_w1_b lokr_w2_a lokr_w2_b lokr_t2"),
        ),
        frozenset(),
        kronecker,
    ),
    _Kind((_names("diff"),), frozenset(), difference),
)
_COMMON = _names("alpha magnitude dora_scale diff_b")


def assemble(parts: Mapping[str, Tensor], shape: tuple[int, ...], scale: Scale) -> LoraLayer:
    """Return the layer for a weight of `shape`.

    Args:
        parts: the tensors by role.
        scale: the scale by rank, if there is no alpha.

    Raises:
        DamagedFileError: if tensors are missing, empty, or not of numbers.
        WeightsMismatchError: if a shape doesn't fit. The message begins with "its".
    """
    values = {role: _checked(role, tensor) for role, tensor in parts.items()}
    roles = values.keys() - _COMMON
    if roles:
        pair = _kind(roles).pair(values, shape)
    elif "diff_b" in values:
        pair = _nothing(shape)
    else:
        raise DamagedFileError(f"it has {listed(sorted(parts))}, and no matrices")
    if pair.rank is None:
        factor = 1.0
    elif "alpha" in values:
        factor = _alpha(values["alpha"]) / pair.rank
    else:
        factor = scale(pair.rank)
    return LoraLayer(
        down=pair.down,
        up=pair.up,
        scale=factor,
        magnitude=_magnitude(values, shape),
        bias=_bias(values, shape[0], factor),
    )


def divide(layer: LoraLayer, rows: tuple[int, ...]) -> list[LoraLayer]:
    """Return the parts of a layer whose outputs are those of several modules, `rows` of each."""
    starts = [sum(rows[:place]) for place in range(len(rows))]
    return [
        replace(
            layer,
            up=layer.up[start : start + count],
            bias=None if layer.bias is None else layer.bias[start : start + count],
            magnitude=layer.magnitude
            if layer.magnitude is None or layer.magnitude.shape[0] == 1
            else layer.magnitude[start : start + count],
        )
        for start, count in zip(starts, rows)
    ]


def _checked(role: str, tensor: Tensor) -> Tensor:
    if tensor.is_meta or tensor.is_quantized or tensor.layout is not torch.strided:
        raise DamagedFileError(f"its {role} is {shown(tensor)} without plain values")
    if not tensor.is_floating_point() and not (role == "alpha" and not tensor.is_complex()):
        raise DamagedFileError(f"its {role} has the dtype {tensor.dtype}, which has no fractions")
    if tensor.numel() == 0 or (tensor.ndim < 2 and role not in _ANY_AXES):
        raise DamagedFileError(f"its {role} has shape {tuple(tensor.shape)}")
    return tensor.detach() if tensor.dtype in _KEPT else tensor.detach().to(torch.float32)


def _kind(roles: frozenset[str] | set[str]) -> _Kind:
    for kind in _KINDS:
        if any(needs <= roles <= needs | kind.may for needs in kind.needs):
            return kind
    near = max(_KINDS, key=lambda kind: len(kind.roles & roles))
    if extra := roles - near.roles:
        raise DamagedFileError(
            f"it has {listed(sorted(roles))}, and {listed(sorted(extra))} is of "
            f"another kind of layer"
        )
    missing = min((needs - roles for needs in near.needs), key=len)
    raise DamagedFileError(f"it has {listed(sorted(roles))}, but no {listed(sorted(missing))}")


def _nothing(shape: tuple[int, ...]) -> Pair:
    """Return the pair of no change."""
    ones = (1 for _ in shape[2:])
    return Pair(torch.zeros(1, *shape[1:]), torch.zeros(shape[0], 1, *ones), None)


def _alpha(tensor: Tensor) -> float:
    if tensor.numel() != 1:
        raise DamagedFileError(f"its alpha has shape {tuple(tensor.shape)}; it is a number")
    value = float(tensor)
    if not math.isfinite(value):
        raise DamagedFileError(f"its alpha is {value}")
    return value


def _magnitude(values: Mapping[str, Tensor], shape: tuple[int, ...]) -> Tensor | None:
    """Return the magnitude so that it broadcasts against the weight.

    peft has one for each output. LyCORIS has either kind, and its axes tell which.
    """
    if {"magnitude", "dora_scale"} <= values.keys():
        raise DamagedFileError("it has a magnitude and a dora_scale, which are the same")
    role = "magnitude" if "magnitude" in values else "dora_scale"
    if role not in values:
        return None
    tensor = values[role]
    of_outputs = (shape[0], *(1 for _ in shape[1:]))
    of_inputs = (1, shape[1], *(1 for _ in shape[2:]))
    given = tuple(tensor.shape)
    if role == "dora_scale" and tensor.ndim > 1 and given[0] == 1 and given[1] == shape[1]:
        wanted = of_inputs
    else:
        wanted = of_outputs
    if tensor.numel() != math.prod(wanted) or max(given, default=1) != tensor.numel():
        raise WeightsMismatchError(
            f"its {role} has shape {given}; the weight asks for {of_outputs}"
        )
    return tensor.reshape(wanted)


def _bias(values: Mapping[str, Tensor], rows: int, factor: float) -> Tensor | None:
    """Return the bias of `up`; a `diff_b` is not scaled by alpha."""
    for role in ("up_bias", "diff_b"):
        if role in values and tuple(values[role].shape) != (rows,):
            raise WeightsMismatchError(
                f"its {role} has shape {tuple(values[role].shape)}; the weight asks for {(rows,)}"
            )
    bias = values.get("up_bias")
    if (change := values.get("diff_b")) is not None:
        if factor == 0:
            raise DamagedFileError(f"it has a diff_b, and its alpha is {shown(0)}")
        change = change / factor
        bias = change if bias is None else bias + change
    return bias
