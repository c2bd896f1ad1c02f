"""SA-Solver: the stochastic Adams method.

Xue et al. 2023, "SA-Solver: Stochastic Adams Solver for Fast Sampling of Diffusion Models"
(arXiv:2309.05019).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config
from autopipe.errors import SchedulerError
from autopipe.values import Range
from autopipe.wording import shown

from ..noise import randn_tensor
from .base import DiscreteScheduler
from .dpm_solver_base import DPMSolver
from .exponential import Span, moments
from .inputs import check_number
from .options import VARIANCE_TYPES, check_choice, check_count
from .output import SchedulerOutput
from .step_index import Timestep

ORDERS = (1, 2, 3, 4)
TAU = Range(0, 100)


class SASolverScheduler(DPMSolver):
    """SA-Solver (Xue et al. 2023, arXiv:2309.05019): a predictor and a corrector of the SDE.

    `tau_func` maps a timestep to the scale of the noise at it, from 0 for the ODE to 1 for the SDE
    of diffusion; by default 1 from 200 to 800, and 0 elsewhere. The corrector of a step uses the
    noise of its predictor. At second order the clean sample's slope has the weight of the authors'
    code.
    """

    algorithm_types = ("data_prediction", "noise_prediction")
    algorithm_stand_ins = MappingProxyType(
        {
            "deis": "data_prediction",
            "dpmsolver": "noise_prediction",
            "dpmsolver++": "data_prediction",
            "sde-dpmsolver": "noise_prediction",
            "sde-dpmsolver++": "data_prediction",
        }
    )

    last_sample: Tensor | None = None
    """The sample from which the last step started."""
    last_noise: Tensor | None = None
    this_predictor_order: int = 1
    this_corrector_order: int = 1
    _last_tau: float = 0.0

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        predictor_order: int = 2,
        corrector_order: int = 2,
        prediction_type: str = "epsilon",
        tau_func: Callable[..., float] | None = None,
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: str = "data_prediction",
        lower_order_final: bool = True,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_flow_sigmas: bool | None = False,
        flow_shift: float = 1.0,
        lambda_min_clipped: float = -float("inf"),
        variance_type: str | None = None,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None:
        check_choice(self, "predictor_order", predictor_order, ORDERS)
        check_choice(self, "corrector_order", corrector_order, ORDERS)
        if tau_func is not None and not callable(tau_func):
            raise SchedulerError(
                f"{type(self).__name__} takes a function of the timestep as tau_func, not "
                f"{shown(tau_func)}"
            )
        self.tau_func = tau_func or usual_tau
        self._build()
        kind = self._choose("algorithm_type", self.algorithm_types, self.algorithm_stand_ins)
        self._choose("variance_type", VARIANCE_TYPES)
        self._clean = kind == "data_prediction"

    def to_json_string(self) -> str:
        """Return the config as saved.

        Raises:
            SchedulerError: if it has a `tau_func`, since a function can't be saved.
        """
        if self.config.tau_func is not None:
            raise SchedulerError(
                f"{type(self).__name__} can't be saved with a tau_func, which is a function; save "
                "one without, and pass tau_func to from_pretrained"
            )
        return super().to_json_string()

    def set_timesteps(  # type: ignore[override]
        self, num_inference_steps: int | None = None, device: str | torch.device | None = None
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`."""
        check_count(self, "num_inference_steps", num_inference_steps)
        assert num_inference_steps is not None
        config = self.config
        visited = self._visited(
            num_inference_steps, config.timestep_spacing, config.steps_offset, self._lambda_clip()
        )
        levels, visited = self._noise_levels(visited)
        self._follow(visited, levels, self._lowest_sigma(levels), device)
        self.last_sample = self.last_noise = None

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        generator: Generator | list[Generator] | None = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[Tensor]:
        """Return the sample after one step, at the next timestep.

        Args:
            model_output: the prediction of the network for `sample`; same shape, except for
                channels of a learned variance.
            timestep: the timestep of `sample`.
            sample: the noisy sample.
            generator: the source of noise, which is drawn in every step.
            return_dict: if False, return the tuple `(prev_sample,)`.

        Raises:
            SchedulerError: if `set_timesteps` was not called, or `timestep` is not in the schedule.
        """
        index, config = self._begin_step(model_output, timestep, sample), self.config
        output = self.convert_model_output(model_output, sample=sample)
        if self.last_sample is not None and index:
            outputs = {index: output, **self._recent(self.this_corrector_order - 1, index - 1)}
            span = self._span(index - 1, index, self._last_tau)
            sample = self._adams(self.last_sample, span, outputs, self.last_noise)
        self._remember(output)
        shape, device = model_output.shape, model_output.device
        noise = randn_tensor(shape, generator, device, model_output.dtype)
        tau = self._tau(timestep)
        left = len(self.timesteps) - index if config.lower_order_final else max(ORDERS)
        known = len(self.model_outputs)
        self.this_predictor_order = min(config.predictor_order, left, known)
        self.this_corrector_order = min(config.corrector_order, left + 1, known + 1)
        self.last_sample, self.last_noise, self._last_tau = sample, noise, tau
        recent = self._recent(self.this_predictor_order, index)
        span = self._span(index, index + 1, tau)
        return self._end_step(self._adams(sample, span, recent, noise), return_dict)

    def _tau(self, timestep: Timestep) -> float:
        """Return the scale of the noise at `timestep`."""
        try:
            return float(check_number(self, "tau_func", self.tau_func(timestep), TAU))
        except SchedulerError:
            raise
        except Exception as error:
            raise SchedulerError(
                f"{type(self).__name__} called tau_func with a timestep, which ended with "
                f"{type(error).__name__}: {shown(str(error))}"
            ) from error

    def _adams(
        self, sample: Tensor, span: Span, outputs: dict[int, Tensor], noise: Tensor | None
    ) -> Tensor:
        """Return the sample after `span`, by the polynomial through `outputs`."""
        terms = moments(span.z, len(outputs))
        if len(outputs) == 2 and self._clean:
            terms[1] = float(span.z) / 2
        return self._integrate(sample, span, outputs, terms, noise)

    def _history(self) -> int:
        return int(max(self.config.predictor_order, self.config.corrector_order - 1))

    def _weights(self, sample: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.use_flow_sigmas:
            return super()._weights(sample, timesteps)
        return DiscreteScheduler._weights(self, sample, timesteps)


def usual_tau(timestep: Timestep) -> float:
    """Return the scale of the noise at `timestep`: 1 from 200 to 800, else 0."""
    return float(200 <= timestep <= 800)
