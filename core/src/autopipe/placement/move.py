"""Parses the arguments of `to`, and moves networks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import ArgumentError, ArgumentTypeError, check_names
from ..wording import shown
from .devices import DeviceLike, parse_device

_KEYWORDS = ("device", "dtype", "torch_device", "torch_dtype", "silence_dtype_warnings")


@dataclass(frozen=True)
class Move:
    """A target device, dtype, or both; None means no change."""

    device: torch.device | None = None
    dtype: torch.dtype | None = None

    def apply(self, module: nn.Module) -> None:
        """Move and cast `module` in place, except for parts that must stay float32."""
        module.to(device=self.device, dtype=self.dtype)
        if self.dtype is None or self.dtype is torch.float32:
            return
        for name in getattr(module, "_keep_in_fp32_modules", None) or ():
            for path, part in module.named_modules():
                if name in path.split("."):
                    part.to(dtype=torch.float32)


def parse_move(*args: Any, silence_dtype_warnings: bool = False, **keywords: Any) -> Move:
    """Parse the arguments of `to`: a dtype, a device, or a device and a dtype.

    Raises:
        ArgumentTypeError: if a keyword is unknown, or a value is neither a device nor a dtype.
        ArgumentError: if a device or a dtype is given twice.
    """
    check_names(keywords, _KEYWORDS, "to() has no keyword")
    devices = [keywords[n] for n in ("device", "torch_device") if keywords.get(n) is not None]
    dtypes = [keywords[n] for n in ("dtype", "torch_dtype") if keywords.get(n) is not None]
    for value in args:
        if isinstance(value, torch.dtype):
            dtypes.append(value)
        elif isinstance(value, DeviceLike) and not isinstance(value, bool):
            devices.append(value)
        elif value is not None:
            raise ArgumentTypeError(
                f"to() takes a torch.device, a torch.dtype, or both, not {shown(value)}"
            )
    if len(devices) > 1 or len(dtypes) > 1:
        raise ArgumentError("to() takes at most one device and one dtype")
    if dtypes and not isinstance(dtypes[0], torch.dtype):
        raise ArgumentTypeError(f"the dtype of to() must be a torch.dtype, not {shown(dtypes[0])}")
    if dtypes and not (dtypes[0].is_floating_point or dtypes[0].is_complex):
        raise ArgumentTypeError(
            f"to() casts only to floating-point dtypes, such as torch.float16, not to {dtypes[0]}"
        )
    move = Move(parse_device(devices[0]) if devices else None, dtypes[0] if dtypes else None)
    on_cpu = move.device is not None and move.device.type == "cpu"
    if on_cpu and move.dtype is torch.float16 and not silence_dtype_warnings:
        warnings.warn(
            "float16 is slow on a CPU and lacks some operations; use bfloat16 or float32 there",
            stacklevel=3,
        )
    return move
