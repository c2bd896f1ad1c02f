"""DPM-Solver++ SDE with a midpoint and Brownian noise (Katherine Crowson's k-diffusion, 2022).

Lu et al. 2022, "DPM-Solver++" (arXiv:2211.01095); the noise is that of one path, as in
arXiv:2001.01328.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from autopipe.config import register_to_config

from ..noise import sources
from .brownian import BrownianNoise, drawn_seed, torchsde
from .inputs import check_number
from .k_dpm_2_discrete import MidpointScheduler
from .output import DenoisingOutput as DPMSolverSDESchedulerOutput
from .prediction import original_of_sigma, scalar
from .sigmas import ancestral_split
from .step_index import Timestep

__all__ = ["DPMSolverSDEScheduler", "DPMSolverSDESchedulerOutput"]


class DPMSolverSDEScheduler(MidpointScheduler):
    """DPM-Solver++ SDE of second order, with a midpoint in log sigma (Crowson 2022).

    The noise is that of a Brownian path, whose seed is `noise_sampler_seed`. Without that, it is
    drawn from the generator of the step.

    Raises:
        MissingPackageError: by `set_timesteps` of a schedule to draw, without the package torchsde.
    """

    prediction_types = ("epsilon", "v_prediction")

    noise_sampler: BrownianNoise | None

    @register_to_config
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "linear",
        trained_betas: np.ndarray | Sequence[float] | None = None,
        prediction_type: str = "epsilon",
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        noise_sampler_seed: int | None = None,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None:
        self._build_betas()
        self._lay_out(num_train_timesteps, None, None)

    def set_timesteps(
        self,
        num_inference_steps: int,
        device: str | torch.device | None = None,
        num_train_timesteps: int | None = None,
    ) -> None:
        """Set a schedule of `num_inference_steps` steps, with `timesteps` on `device`.

        They are spaced over `num_train_timesteps` timesteps; by default those of the config.

        Raises:
            MissingPackageError: if the package torchsde is not installed.
        """
        torchsde(self)
        self._lay_out(num_inference_steps, device, num_train_timesteps)

    def _lay_out(
        self, count: int, device: str | torch.device | None, train_steps: int | None
    ) -> None:
        sigmas, timesteps = self._noise_levels(self._spaced_float(count, train_steps, np.float64))
        middles = np.sqrt(sigmas[:-1] * sigmas[1:])
        levels = sigmas.astype(np.float32)
        self.sigmas = torch.from_numpy(np.append(levels.repeat(2)[1:], np.float32(0)))
        self._interleave(timesteps, middles, device, np.float64)
        self.mid_point_sigma: Tensor | None = None
        self.noise_sampler = None

    def scale_model_input(self, sample: Tensor, timestep: Timestep) -> Tensor:  # type: ignore[override]
        """Return `sample` in the variance-preserving view, divided by sqrt(sigma^2 + 1)."""
        sigma, middle = self.sigmas[self._index_of(timestep)], self.mid_point_sigma
        return self._scaled(sample, scalar(sigma if middle is None else middle))

    def step(
        self,
        model_output: Tensor,
        timestep: Timestep,
        sample: Tensor,
        return_dict: bool = True,
        s_noise: float = 1.0,
        generator: Generator | list[Generator] | None = None,
    ) -> DPMSolverSDESchedulerOutput | tuple[Tensor, ...]:
        """Return the sample at the midpoint or, in every other call, at the end of the step.

        Args:
            model_output: the prediction of the network for `sample`; same shape.
            timestep: one of `timesteps`.
            sample: the noisy sample.
            return_dict: if False, return the tuple `(prev_sample, pred_original_sample)`.
            s_noise: the scale of the noise.
            generator: the source of the path's seed, without `noise_sampler_seed`, in the first
                step of a schedule. A list gives each sample a path of its own.
        """
        self._check_step(model_output, timestep, sample)
        scale = float(check_number(self, "s_noise", s_noise))
        index = self._index_of(timestep)
        start = index if self.sample is None else index - 1
        if self.noise_sampler is None:
            self.noise_sampler = self._sampler(sample, generator)
        sigma, following = self.sigmas[start], self.sigmas[start + 1]
        middle = sigma if self.mid_point_sigma is None else self.mid_point_sigma
        original = original_of_sigma(self.config.prediction_type, model_output, sample, middle)
        if following == 0:
            previous = sample + (sample - original) / sigma * (following - sigma)
        else:
            # A path is so rough that it is asked at the very times of the reference.
            t, t_following = -sigma.log(), -following.log()
            halfway = t + (t_following - t) * 0.5
            first = self.sample is None
            target = (-(halfway if first else t_following)).exp()
            begin = sample if self.sample is None else self.sample
            down, up = ancestral_split(scalar(sigma), scalar(target))
            ratio = down / scalar(sigma)
            previous = ratio * begin + (1 - ratio) * original
            previous = previous + self.noise_sampler((-t).exp(), target) * scale * up
            self.sample, self.mid_point_sigma = (sample, target) if first else (None, None)
        self._step_index = index + 1
        if not return_dict:
            return previous, original
        return DPMSolverSDESchedulerOutput(previous, original)

    def _sampler(self, like: Tensor, generator: Any) -> BrownianNoise:
        """Return the noise of a run with samples like `like`."""
        seed = self.config.noise_sampler_seed
        if seed is None:
            seeds = [drawn_seed(one) for one in sources(generator, len(like))]
            seed = seeds if len(seeds) > 1 else seeds[0]
        # The lowest but the final zero.
        return BrownianNoise(self, like, self.sigmas[-2].item(), self.sigmas[0].item(), seed)
