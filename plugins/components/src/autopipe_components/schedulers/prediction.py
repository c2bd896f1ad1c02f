"""What a network's output says about the clean sample and the noise.

`alpha` and `sigma` are the weights of the two in the sample: x = alpha * x0 + sigma * noise.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

Real = Any
"""A coefficient: a numpy float32 scalar, which is cheaper than a tensor and rounds alike.

(The types of numpy don't know that a tensor can be multiplied with one.)
"""


def scalar(value: Tensor) -> Real:
    """The number in a tensor without axes, in its precision."""
    return value.numpy()[()]


PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")


def predicted_original(
    kind: str, model_output: Tensor, sample: Tensor, alpha: Real, sigma: Real
) -> Tensor:
    """The clean sample x0. `alpha`, `sigma`: a variance-preserving pair (or a flow's).

    `epsilon`: the output is the noise. `v_prediction`: it is alpha * noise - sigma * x0 (Salimans
    & Ho 2022). `flow_prediction`: it is noise - x0, in a sample of alpha = 1 - sigma.
    """
    if kind == "epsilon":
        return (sample - sigma * model_output) / alpha
    if kind == "v_prediction":
        return alpha * sample - sigma * model_output
    if kind == "flow_prediction":
        return sample - sigma * model_output
    return model_output


def predicted_noise(
    kind: str, model_output: Tensor, sample: Tensor, alpha: Real, sigma: Real
) -> Tensor:
    """The noise. `alpha`, `sigma`: a variance-preserving pair (or a flow's)."""
    if kind == "epsilon":
        return model_output
    if kind == "v_prediction":
        return alpha * model_output + sigma * sample
    if kind == "flow_prediction":
        return sample + alpha * model_output
    return (sample - alpha * model_output) / sigma


def original_of_sigma(kind: str, model_output: Tensor, sample: Tensor, sigma: Real) -> Tensor:
    """The clean sample x0, of a variance-exploding sample: x = x0 + sigma * noise."""
    if kind == "epsilon":
        return sample - sigma * model_output
    if kind == "v_prediction":
        squared = sigma**2 + 1
        return model_output * (-sigma / squared**0.5) + sample / squared
    return model_output
