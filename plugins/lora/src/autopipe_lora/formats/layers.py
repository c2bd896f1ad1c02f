"""The content of a LoRA file, in one form for all formats.

"LoRA: Low-Rank Adaptation of Large Language Models" (Hu et al., 2021); "DoRA: Weight-Decomposed
Low-Rank Adaptation" (Liu et al., 2024) for the magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class LoraLayer:
    """The change of one module: its weight grows by `strength * scale * (up @ down)`.

    Attributes:
        down: (R, in) for a linear module; `(R, in, *kernel)` for a convolution, with the stride and
            padding of the module.
        up: (out, R); (out, R, 1, ...) for a convolution.
        scale: alpha / R, or 1 without an alpha.
        magnitude: the magnitude of the changed weight (DoRA), which broadcasts against it:
            `(out, 1, ...)` or `(1, in, 1, ...)`. The changed weight is divided by its norm over the
            axes where `magnitude` has length 1, and multiplied by `magnitude`.
        bias: (out,), the bias of `up`: the module's bias grows by `strength * scale * bias`.
    """

    down: Tensor
    up: Tensor
    scale: float = 1.0
    magnitude: Tensor | None = None
    bias: Tensor | None = None

    @property
    def rank(self) -> int:
        """R, the number of rows of `down`."""
        return int(self.down.shape[0])


@dataclass(frozen=True)
class Report:
    """What became of the keys of a file.

    Attributes:
        format: the format of the file, such as `"peft"`.
        matched: the keys that are used.
        unmatched: the keys of layers that the pipeline doesn't have.
        skipped: the reason, by key, for others that aren't used.
    """

    format: str
    matched: tuple[str, ...] = ()
    unmatched: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LoraFile:
    """The content of a file: the layers by component and path of the module, and the report."""

    layers: Mapping[str, Mapping[str, LoraLayer]]
    report: Report
