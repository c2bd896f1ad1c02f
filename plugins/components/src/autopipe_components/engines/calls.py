"""Takes the arguments and results of networks apart into tensors, and puts them together again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from autopipe.attaching.engine import EngineRefusal
from autopipe.wording import shown

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool)
}
"""The dtypes of tensors that runtimes take and return, by name."""

_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class Form:
    """What arguments or results are like apart from the contents and sizes of their tensors.

    Attributes:
        tree: the nested tuples, lists, dicts and outputs.
        leaves: for each tensor its dtype and number of axes, such as `("float32", 4)`; for anything
            else the value itself.
    """

    tree: Any
    leaves: tuple[Any, ...]

    def filled(self, tensors: Sequence[Tensor]) -> Any:
        """Return the nested value with these tensors.

        The inverse of `taken_apart`.
        """
        given = iter(tensors)
        values = [next(given) if isinstance(one, tuple) else one for one in self.leaves]
        return pytree.tree_unflatten(values, self.tree)

    def to_json(self) -> dict[str, Any]:
        """Return the form as data for JSON.

        Raises:
            EngineRefusal: if torch can't write a class of it.
        """
        try:
            return {"tree": pytree.treespec_dumps(self.tree), "leaves": list(self.leaves)}
        except (NotImplementedError, TypeError, ValueError) as error:
            raise EngineRefusal(
                f"it takes or returns objects that torch's pytree can't write ({error})"
            ) from error

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Form:
        """Return the form that `to_json` described; classes are those known to torch's pytree.

        Raises:
            ValueError: if the data has another structure, or a class is unknown.
        """
        try:
            leaves = tuple(tuple(one) if isinstance(one, list) else one for one in data["leaves"])
            form = cls(pytree.treespec_loads(data["tree"]), leaves)
            if form.tree.num_leaves != len(leaves):
                raise ValueError("another number of leaves")
        except (KeyError, TypeError, AttributeError, NotImplementedError, AssertionError) as error:
            raise ValueError(str(error)) from error
        return form

    @property
    def text(self) -> str:
        """The form in one line, equal for equal forms."""
        return json.dumps(self.to_json(), sort_keys=True)


def taken_apart(value: Any) -> tuple[Form, list[Tensor]]:
    """Return the form of nested tuples, lists, dicts and outputs, and their tensors in order.

    Raises:
        EngineRefusal: if a value in it is neither a tensor nor a plain value, or a tensor has a
            dtype that runtimes don't take.
    """
    values, tree = pytree.tree_flatten(value)
    tensors: list[Tensor] = []
    leaves: list[Any] = []
    for one in values:
        if isinstance(one, Tensor):
            if one.dtype not in _NAMES:
                raise EngineRefusal(f"a tensor of its call is {_dtype_name(one.dtype)}")
            tensors.append(one)
            leaves.append((_NAMES[one.dtype], one.ndim))
        elif one is None or type(one) in (bool, int, float, str):
            leaves.append(one)
        else:
            raise EngineRefusal(f"it can't take or return {shown(one)}")
    return Form(tree, tuple(leaves)), tensors


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
