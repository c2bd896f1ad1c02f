"""Networks of ours beside those of diffusers that have the same config and weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-5
"""The same sums in another order: float32 has 7 digits, and a few hundred roundings are between
input and output. Of the largest difference over the largest value."""


def twins(kind: type[Any], **config: Any) -> tuple[Any, Any]:
    """A network of ours, and that of diffusers, with the same random weights."""
    import diffusers

    torch.manual_seed(0)
    reference = getattr(diffusers, kind.__name__)(**config).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            # Some begin at 0 or 1, as biases and scales do: swapping them would go unnoticed.
            if parameter.ndim == 1 or not parameter.any():
                parameter.add_(torch.randn_like(parameter) * 0.3)
    ours = kind(**config).eval()
    ours.load_state_dict(reference.state_dict())
    return ours, reference


def assert_close(found: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    """They are the same but for float32's rounding."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < tolerance * expected.abs().max()


def assert_same_names(kind: type[Any], config: dict[str, Any]) -> None:
    """Names and shapes of the weights that `config` asks for are those of diffusers."""
    import diffusers

    with torch.device("meta"):
        ours = kind.from_config(config)
        reference = getattr(diffusers, kind.__name__).from_config(config)
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in reference.state_dict().items()}
