"""Linear multistep in sigma (Katherine Crowson's k-diffusion, 2022)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from autopipe.config import register_to_config
from autopipe.values import Range

from .inputs import check_number
from .output import DenoisingOutput as LMSDiscreteSchedulerOutput
from .prediction import original_of_sigma
from .sigma_base import SigmaScheduler
from .step_index import Timestep

__all__ = ["LMSDiscreteScheduler", "LMSDiscreteSchedulerOutput"]

ORDERS = Range(1, 100)


@functools.lru_cache
def _quadrature(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Gauss-Legendre points on [-1, 1] and weights, exact to degree 2 * count - 1."""
    return np.polynomial.legendre.leggauss(count)


class LMSDiscreteScheduler(SigmaScheduler):
    """Linear multistep in sigma (Katherine Crowson's k-diffusion, 2022).

    It integrates the polynomial through the last derivatives: Adams-Bashforth with uneven steps.
    """

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None:
        self._build_betas()
        self.set_timesteps(num_train_timesteps)

    def set_timesteps(
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`."""
        self._follow(self._spaced_float(num_inference_steps), device)
        self.derivatives: list[Tensor] = []

    def get_lms_coefficient(self, order: int, t: int, current_order: int) -> float:
        """Return the integral over step `t` of a Lagrange basis polynomial.

        Args:
            order: the number of derivatives that the polynomial goes through.
            t: the step index.
            current_order: the derivative of the basis polynomial, counted back from `t`.

        Raises:
            SchedulerError: if the step or the derivative doesn't exist.
        """
        order = check_number(self, "order", order, ORDERS, kind=int)
        t = check_number(self, "t", t, Range(0, len(self.sigmas) - 2), kind=int)
        known = Range(0, min(order, t + 1) - 1)
        current_order = check_number(self, "current_order", current_order, known, kind=int)
        sigmas = self.sigmas[max(t - order + 1, 0) : t + 2].double().numpy()[::-1]
        end, nodes = sigmas[0], sigmas[1:]
        points, weights = _quadrature(order // 2 + 1)
        half = (end - nodes[0]) / 2
        others = np.delete(nodes, current_order)
        tau = nodes[0] + half * (1 + points)
        basis = np.prod((tau[:, None] - others) / (nodes[current_order] - others), axis=1)
        return float(half * (weights @ basis))

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        order: int = 4,
        return_dict: bool = True,
    ) -> LMSDiscreteSchedulerOutput | tuple[Tensor, ...]:
        """Return the sample at the next noise level.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample.
            order: the number of derivatives to use, up to 100.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.
        """
        self._check_step(model_output, timestep, sample)
        order = check_number(self, "order", order, ORDERS, kind=int)
        index = self._scaled_index_of(timestep)
        sigma = self._sigma(index)
        original = original_of_sigma(self.config.prediction_type, model_output, sample, sigma)
        self.derivatives = [*self.derivatives, (sample - original) / sigma][-order:]
        order = min(index + 1, order)
        previous = sample
        for back, derivative in enumerate(reversed(self.derivatives[-order:])):
            previous = previous + self.get_lms_coefficient(order, index, back) * derivative
        self._step_index = index + 1
        return (
            LMSDiscreteSchedulerOutput(previous, original) if return_dict else (previous, original)
        )
