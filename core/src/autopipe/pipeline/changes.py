"""Checks and converts the tensors with which a step callback replaces those of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import ArgumentError, ArgumentTypeError

Tensors = dict[str, Any]
"""The tensors of a call by name. `"latents"` is the sample; a step callback may replace any."""


class Changes:
    """The changes that the callback of one call has made so far."""

    def __init__(self) -> None:
        self._reshaped: dict[str, str] = {}

    def of(self, returned: Any, tensors: Tensors) -> Tensors:
        """Return the changes of a step, with the dtype and device of the tensors they replace.

        Names that the call doesn't know and unchanged objects are left out.

        Args:
            returned: the return value of the callback: a mapping from names to tensors, or None.
            tensors: the tensors of the call.

        Raises:
            ArgumentTypeError: if `returned` is not such a mapping, or a value is not a tensor.
            ArgumentError: if a tensor has a different number of axes, of channels, or another
                width than before.
        """
        if returned is None:
            return {}
        if not isinstance(returned, Mapping):
            raise ArgumentTypeError(
                f"callback_on_step_end returned {type(returned).__name__}; "
                f"it must return a dict of the tensors to replace, or None"
            )
        given = {name: returned[name] for name in tensors if name in returned}
        return {
            name: self._fitting(name, one, tensors[name])
            for name, one in given.items()
            if one is not tensors[name]
        }

    def blame(self, error: Exception) -> None:
        """Raise `ArgumentError` if changed shapes may have caused `error` in a step."""
        # Exactly these types: torch and networks raise them for wrong shapes.
        if self._reshaped and type(error) in (RuntimeError, ValueError, IndexError, ArgumentError):
            raise ArgumentError(
                f"a step failed after callback_on_step_end changed shapes: "
                f"{', '.join(self._reshaped.values())}; change all tensors that belong together, "
                f"or keep their shapes ({error})"
            ) from error

    def _fitting(self, name: str, new: Any, old: Any) -> Any:
        if isinstance(old, list) and isinstance(new, (list, tuple)) and len(new) == len(old):
            return [self._fitting(name, *pair) for pair in zip(new, old)]
        if new is None and old is None:
            return None
        dense = isinstance(new, Tensor) and new.layout is torch.strided and not new.is_meta
        if not dense or new.is_complex() or isinstance(old, list):
            found = f"{new.dtype} tensor" if dense else type(new).__name__
            wanted = (
                f"list of {len(old)} tensors" if isinstance(old, list) else "dense, real tensor"
            )
            raise ArgumentTypeError(
                f"callback_on_step_end returned {name} as a {found}; return a {wanted}"
            )
        if not isinstance(old, Tensor):
            return new
        before, after = tuple(old.shape), tuple(new.shape)
        # The size that networks require: the channels of images and latents, the width of others.
        fixed = 1 if old.ndim == 4 else max(1, old.ndim - 1)
        kept = len(after) == len(before) and after[fixed : fixed + 1] == before[fixed : fixed + 1]
        if not kept or not new.numel():
            raise ArgumentError(
                f"callback_on_step_end returned {name} of shape {after} instead of {before}; keep "
                f"the number of axes, and the channels or the width"
            )
        if after != before:
            self._reshaped[name] = f"{name} from {before} to {after}"
        return new.to(old)
