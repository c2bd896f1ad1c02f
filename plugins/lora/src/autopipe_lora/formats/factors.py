"""Brings changes of weights that are written otherwise into the form `up @ down`.

"FedPara: Low-Rank Hadamard Product for Communication-Efficient Federated Learning" (Hyeon-Woo et
al., 2021) for LoHa; "Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to Model
Evaluation" (Yeh et al., 2023) for LoKr. Both are exact: a product of two matrices of rank R by
elements has rank R * R, and a Kronecker product with a matrix of B columns rank B * R. Where that
is at least the smaller side of the weight, the change itself is one of the two matrices.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from autopipe.errors import WeightsMismatchError


class Pair(NamedTuple):
    """A change of a weight, `up @ down`.

    Attributes:
        down: (R, in, *kernel).
        up: (out, R), with as many axes as `down`.
        rank: what alpha is divided by; None if there is no alpha.
    """

    down: Tensor
    up: Tensor
    rank: int | None


def low_rank(parts: Mapping[str, Tensor], shape: tuple[int, ...]) -> Pair:
    """Return the pair of a LoRA, for a weight of `shape`.

    Raises:
        WeightsMismatchError: if the shapes don't fit.
    """
    down, up = parts["down"], parts["up"]
    rank = int(down.shape[0])
    if (mid := parts.get("mid")) is not None:
        _expect("mid", mid, (rank, rank, *shape[2:]))
        flat = _fitted("down", down, (rank, shape[1]))
        down = torch.einsum("rs...,si->ri...", mid.float(), flat.float())
    return Pair(
        _fitted("down", down, (rank, *shape[1:])),
        _fitted("up", up, (shape[0], rank, *(1 for _ in shape[2:]))),
        rank,
    )


def hadamard(parts: Mapping[str, Tensor], shape: tuple[int, ...]) -> Pair:
    """Return the pair of a LoHa; otherwise as `low_rank`."""
    out, inner = shape[0], prod(shape[1:])
    w1_b, w2_b = parts["hada_w1_b"].float(), parts["hada_w2_b"].float()
    w1_a, w2_a = parts["hada_w1_a"].float(), parts["hada_w2_a"].float()
    rank = int(w1_b.shape[0])
    if "hada_t1" in parts or "hada_t2" in parts:
        cores = [parts[name].float() for name in ("hada_t1", "hada_t2")]
        for name, core, first, second in zip("12", cores, (w1_a, w2_a), (w1_b, w2_b)):
            _expect(f"hada_t{name}", core, (rank, rank, *shape[2:]))
            _expect(f"hada_w{name}_a", first, (rank, out))
            _expect(f"hada_w{name}_b", second, (rank, shape[1]))
        one, other = (
            torch.einsum("ij...,jr,ip->pr...", core, second, first)
            for core, first, second in zip(cores, (w1_a, w2_a), (w1_b, w2_b))
        )
        return _whole(one * other, rank)
    for name, first, second in (("1", w1_a, w1_b), ("2", w2_a, w2_b)):
        _expect(f"hada_w{name}_a", first, (out, rank))
        _expect(f"hada_w{name}_b", second, (rank, inner))
    if rank * rank >= min(out, inner):
        return _whole(((w1_a @ w1_b) * (w2_a @ w2_b)).reshape(shape), rank)
    down = (w1_b[:, None] * w2_b[None]).reshape(rank * rank, *shape[1:])
    up = (w1_a[:, :, None] * w2_a[:, None]).reshape(out, rank * rank)
    return Pair(down, _fitted("up", up, (out, rank * rank, *(1 for _ in shape[2:]))), rank)


def kronecker(parts: Mapping[str, Tensor], shape: tuple[int, ...]) -> Pair:
    """Return the pair of a LoKr; otherwise as `low_rank`.

    Without a decomposed factor, an alpha has no meaning, and trainers write one nevertheless.
    """
    rows = int(parts["lokr_w1" if "lokr_w1" in parts else "lokr_w1_a"].shape[0])
    columns = int(parts["lokr_w1" if "lokr_w1" in parts else "lokr_w1_b"].shape[1])
    if shape[0] % rows or shape[1] % columns:
        raise WeightsMismatchError(
            f"its lokr_w1 has shape {(rows, columns)}, which doesn't divide the weight's {shape}"
        )
    first, rank = _factor(parts, (rows, columns))
    size = (shape[0] // rows, shape[1] // columns, *shape[2:])
    if (core := parts.get("lokr_t2")) is not None:
        a, b = parts["lokr_w2_a"].float(), parts["lokr_w2_b"].float()
        inner = int(a.shape[0])
        _expect("lokr_t2", core, (inner, int(b.shape[0]), *shape[2:]))
        _expect("lokr_w2_a", a, (inner, size[0]))
        _expect("lokr_w2_b", b, (int(b.shape[0]), size[1]))
        second = torch.einsum("ij...,ip,jr->pr...", core.float(), a, b)
        return _whole(_product(first, second), inner)
    if "lokr_w2" in parts:
        second = _fitted("lokr_w2", parts["lokr_w2"].float(), size)
        return _whole(_product(first, second), rank)
    a, b = parts["lokr_w2_a"].float(), parts["lokr_w2_b"].float()
    inner = int(a.shape[1])
    _expect("lokr_w2_a", a, (size[0], inner))
    _expect("lokr_w2_b", b, (inner, prod(size[1:])))
    if columns * inner >= min(shape[0], prod(shape[1:])):
        return _whole(_product(first, (a @ b).reshape(size)), inner)
    down = torch.zeros(columns, inner, columns, *size[1:])
    for column in range(columns):
        down[column, :, column] = b.reshape(inner, *size[1:])
    up = torch.kron(first, a)
    ranks = columns * inner
    return Pair(
        down.reshape(ranks, *shape[1:]),
        _fitted("up", up, (shape[0], ranks, *(1 for _ in shape[2:]))),
        inner,
    )


def difference(parts: Mapping[str, Tensor], shape: tuple[int, ...]) -> Pair:
    """Return the pair of a whole difference of weights; otherwise as `low_rank`."""
    return _whole(_fitted("diff", parts["diff"], shape), None)


def _factor(parts: Mapping[str, Tensor], shape: tuple[int, int]) -> tuple[Tensor, int | None]:
    """Return the first factor of a LoKr, and its rank if it is the product of two matrices."""
    if "lokr_w1" in parts:
        _expect("lokr_w1", parts["lokr_w1"], shape)
        return parts["lokr_w1"].float(), None
    a, b = parts["lokr_w1_a"].float(), parts["lokr_w1_b"].float()
    inner = int(a.shape[1])
    _expect("lokr_w1_a", a, (shape[0], inner))
    _expect("lokr_w1_b", b, (inner, shape[1]))
    return a @ b, inner


def _product(first: Tensor, second: Tensor) -> Tensor:
    """Return the Kronecker product of a matrix and a matrix of kernels."""
    return torch.kron(
        first.reshape(*first.shape, *(1 for _ in second.shape[2:])), second.contiguous()
    )


def _whole(change: Tensor, rank: int | None) -> Pair:
    """Return the pair whose one matrix is the change, and whose other one is the identity."""
    out, inner = change.shape[0], prod(change.shape[1:])
    kernel = change.shape[2:]
    if out <= inner or kernel:
        eye = torch.eye(out, dtype=change.dtype)
        return Pair(change, eye.reshape(out, out, *(1 for _ in kernel)), rank)
    return Pair(torch.eye(inner, dtype=change.dtype), change, rank)


def _expect(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise WeightsMismatchError(
            f"its {name} has shape {tuple(tensor.shape)}; the weight asks for {shape}"
        )


def _fitted(name: str, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return `tensor` in `shape`, which may differ in axes of length 1 at the end."""
    if _core(tuple(tensor.shape)) != _core(shape):
        _expect(name, tensor, shape)
    return tensor.reshape(shape)


def _core(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return `shape` without axes of length 1 after the second."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
