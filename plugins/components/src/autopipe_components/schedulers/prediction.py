"""Converts the output of a network to the clean sample and the noise.

`alpha` and `sigma` are their weights in the sample: x = alpha * x0 + sigma * noise.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from torch import Tensor

Real: TypeAlias = Any
"""A coefficient: a number of numpy in float32, or a tensor without axes.

Numbers cost less than tensors and round in the same way. According to numpy's types they can't
multiply a tensor, hence `Any`.
"""


def scalar(value: Tensor) -> Real:
    """Return the number in a tensor without axes, in the precision of the tensor."""
    return value.numpy()[()]


PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")


def predicted_original(
    kind: str, model_output: Tensor, sample: Tensor, alpha: Real, sigma: Real
) -> Tensor:
    """Return the clean sample x0 that a network's output represents.

    Args:
        kind: the prediction type. For `"epsilon"` the output is the noise; for `"sample"` it is x0;
            for `"v_prediction"` it is alpha * noise - sigma * x0 (Salimans & Ho 2022,
            arXiv:2202.00512); for `"flow_prediction"` it is noise - x0, where alpha = 1 - sigma.
        alpha, sigma: the weights of x0 and noise in `sample`: a variance-preserving pair, or that
            of a flow.
    """
    original = model_output
    if kind == "epsilon":
        original = (sample - sigma * model_output) / alpha
    elif kind == "v_prediction":
        original = alpha * sample - sigma * model_output
    elif kind == "flow_prediction":
        original = sample - sigma * model_output
    return original


def predicted_noise(
    kind: str, model_output: Tensor, sample: Tensor, alpha: Real, sigma: Real
) -> Tensor:
    """Return the noise that a network's output represents; arguments as `predicted_original`."""
    noise = model_output
    if kind == "v_prediction":
        noise = alpha * model_output + sigma * sample
    elif kind == "flow_prediction":
        noise = sample + alpha * model_output
    elif kind != "epsilon":
        noise = (sample - alpha * model_output) / sigma
    return noise


def original_of_sigma(kind: str, model_output: Tensor, sample: Tensor, sigma: Real) -> Tensor:
    """Return the clean sample x0 in a variance-exploding sample: x = x0 + sigma * noise."""
    original = model_output
    if kind == "epsilon":
        original = sample - sigma * model_output
    elif kind == "v_prediction":
        squared = sigma**2 + 1
        original = model_output * (-sigma / squared**0.5) + sample / squared
    return original
