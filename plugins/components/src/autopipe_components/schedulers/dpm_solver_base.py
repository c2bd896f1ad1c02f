"""The base of the multistep and the singlestep DPM-Solver: options, schedule, noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import SchedulerError

from .ddpm import descending
from .options import LEARNED_VARIANCES, SIGMA_KINDS, VARIANCE_TYPES, check_one_schedule
from .solver_base import FINAL_SIGMAS, ExponentialSolver


class DPMSolver(ExponentialSolver):
    """DPM-Solver, which integrates the noise, and DPM-Solver++, which integrates the sample.

    Lu et al. 2022, arXiv:2206.00927 and arXiv:2211.01095.
    """

    algorithm_types: tuple[str, ...]
    algorithm_stand_ins: ClassVar[Mapping[str, str]] = MappingProxyType({"deis": "dpmsolver++"})
    """Algorithms of other solvers, and what takes their place."""

    def _build_dpm(self) -> None:
        """Call `_build`, and check the options that all DPM-Solvers have.

        Raises:
            SchedulerError: if the value of an option is unknown, or if a solver that integrates the
                noise would end without noise, where its step is infinite.
        """
        self._build(orders=(1, 2, 3))
        algorithm = self._choose("algorithm_type", self.algorithm_types, self.algorithm_stand_ins)
        self._clean, self._stochastic = algorithm.endswith("++"), algorithm.startswith("sde-")
        others = ("logrho", "bh1", "bh2")
        self._choose("solver_type", ("midpoint", "heun"), dict.fromkeys(others, "midpoint"))
        self._choose("variance_type", VARIANCE_TYPES)
        if "final_sigmas_type" in self.config:
            self._choose("final_sigmas_type", FINAL_SIGMAS)
        if self._ends_clean and not self._clean:
            raise SchedulerError(
                f"{type(self).__name__} with algorithm_type={algorithm!r} can't end at "
                "a noise level of zero; set final_sigmas_type='sigma_min' or choose 'dpmsolver++'"
            )

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        mu: float | None = None,
        timesteps: Sequence[int] | None = None,
    ) -> None:
        """Set the schedule, from a number of steps or from timesteps.

        Args:
            num_inference_steps: the number of steps.
            device: the device of `timesteps`.
            mu: with `use_dynamic_shifting`, shifts flow sigmas by exp(mu).
            timesteps: custom training timesteps, descending.

        Raises:
            SchedulerError: if both or neither are given, or `timesteps` are given together with a
                config that computes sigmas.
        """
        check_one_schedule(self, num_inference_steps=num_inference_steps, timesteps=timesteps)
        if num_inference_steps is not None:
            visited = self._spaced(num_inference_steps)
        else:
            assert timesteps is not None
            self._refuse_computed()
            visited = descending(self, timesteps)
        sigmas, visited = self._noise_levels(visited, mu=mu)
        self._follow(visited, sigmas, self._final_sigma(self._train_sigmas()[0]), device)

    def _refuse_computed(self) -> None:
        """Raise `SchedulerError` if the config computes sigmas, and with them timesteps."""
        for kind in (*SIGMA_KINDS, "use_lu_lambdas", "use_flow_sigmas"):
            if self._declared.get(kind):
                raise SchedulerError(
                    f"{type(self).__name__} can't use custom timesteps with {kind}=True, which "
                    "computes timesteps; create it with from_config and that option turned off"
                )

    def _lambda_clip(self) -> int:
        """Return the number of training timesteps whose λ is not below `lambda_min_clipped`."""
        lambdas = -np.log(self._train_sigmas()[::-1])
        cut = int(np.searchsorted(lambdas, np.float32(self.config.lambda_min_clipped)))
        left = int(self.config.num_train_timesteps) - cut
        if left < 1:
            raise SchedulerError(
                f"{type(self).__name__} has no timestep whose λ is at least lambda_min_clipped="
                f"{self.config.lambda_min_clipped:g}; set it lower"
            )
        return left

    def convert_model_output(self, model_output: Tensor, *, sample: Tensor) -> Tensor:
        """Return the clean sample or the noise that the output of the network represents.

        A learned variance in channels beyond those of `sample` is dropped.
        """
        if self.config.variance_type in LEARNED_VARIANCES:
            self._check_prediction(model_output, sample)
            model_output = model_output[:, : sample.shape[1]]
        return super().convert_model_output(model_output, sample=sample)
