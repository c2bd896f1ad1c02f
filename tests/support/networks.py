"""Compares our networks with those of diffusers with the same config and weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-5
"""The largest allowed difference, relative to the largest value. Sums may have another order:
float32 has 7 digits, and there are a few hundred roundings between input and output."""


def twins(kind: type[Any], **config: Any) -> tuple[Any, Any]:
    """Return our network and that of diffusers, with the same random weights."""
    import diffusers

    torch.manual_seed(0)
    reference = getattr(diffusers, kind.__name__)(**config).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            # Biases and scales start at 0 or 1, so swapping them would not be noticed.
            if parameter.ndim == 1 or not parameter.any():
                parameter.add_(torch.randn_like(parameter) * 0.3)
    ours = kind(**config).eval()
    ours.load_state_dict(reference.state_dict())
    return ours, reference


def assert_close(found: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    """Check that two tensors are equal except for float32 rounding."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < tolerance * expected.abs().max()


def assert_same_names(kind: type[Any], config: dict[str, Any]) -> None:
    """Check that a network with `config` has weights of the same names and shapes as diffusers."""
    import diffusers

    with torch.device("meta"):
        ours = kind.from_config(config)
        reference = getattr(diffusers, kind.__name__).from_config(config)
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in reference.state_dict().items()}
