"""One step of ancestral sampling (Ho et al. 2020, arXiv:2006.11239, algorithm 2)."""

from __future__ import annotations

import numpy as np
from torch import Generator, Tensor

from autopipe.errors import SchedulerError
from autopipe.wording import shown

from ..noise import randn_tensor
from .base import DiscreteScheduler
from .options import LEARNED_VARIANCES
from .prediction import Real, predicted_original


class PosteriorScheduler(DiscreteScheduler):
    """A scheduler that samples from q(x_s | x_t, x0), s < t, with the predicted clean sample x0."""

    variance_type: str | None
    """The kind of variance; a learned one is the second half of the channels of the network."""

    def _posterior_step(
        self,
        model_output: Tensor,
        sample: Tensor,
        timestep: int,
        *,
        before: int,
        alpha: Real,
        beta: Real,
        generator: Generator | list[Generator] | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the sample at timestep `before`, and the predicted clean sample.

        Args:
            model_output: the prediction of the network for `sample`.
            sample: the noisy sample.
            timestep: the timestep of `sample`; no noise is drawn at 0.
            before: the timestep to step to; -1 for the clean sample.
            alpha, beta: the fraction of the signal's variance that noising keeps between the two
                timesteps, and of the noise that it adds; their sum is 1.
            generator: the source of noise.
        """
        bar, bar_before = self._alpha_bar(timestep), self._alpha_bar(before)
        previous, original, predicted_variance = self._posterior_mean(
            model_output, sample, bar, bar_before, alpha, beta
        )
        if timestep > 0:
            smallest = max((1 - bar_before) / (1 - bar) * beta, np.float32(1e-20))
            like = model_output if predicted_variance is None else predicted_variance
            noise = randn_tensor(like.shape, generator, like.device, like.dtype)
            previous = previous + self._deviation(smallest, beta, predicted_variance) * noise
        return previous, original

    def _posterior_mean(
        self,
        model_output: Tensor,
        sample: Tensor,
        bar: Real,
        bar_before: Real,
        alpha: Real,
        beta: Real,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the mean of a step (equation 7), the clean sample, and the learned variance.

        `bar` and `bar_before` are alpha_bar at both ends of the step; they are numbers or tensors
        that multiply `sample`, as `alpha` and `beta` are.
        """
        learned = None
        if self.variance_type in LEARNED_VARIANCES and model_output.shape[1] == 2 * sample.shape[1]:
            model_output, learned = model_output.chunk(2, dim=1)
        kind, signal, noise_share = self.config.prediction_type, bar**0.5, (1 - bar) ** 0.5
        original = self._bounded(
            predicted_original(kind, model_output, sample, signal, noise_share)
        )
        mean = (bar_before**0.5 * beta / (1 - bar)) * original + (
            alpha**0.5 * (1 - bar_before) / (1 - bar)
        ) * sample
        return mean, original, learned

    def _deviation(self, smallest: Real, largest: Real, predicted: Tensor | None) -> Tensor | Real:
        """Return the standard deviation of a step, from the bounds of its variance."""
        if self.variance_type not in LEARNED_VARIANCES:
            large = self.variance_type in ("fixed_large", "fixed_large_log")
            return (largest if large else smallest) ** 0.5
        if predicted is None:
            raise SchedulerError(
                f"variance_type={shown(self.variance_type)} needs a network with twice the "
                "sample's channels; use a fixed variance_type with this one"
            )
        if self.variance_type == "learned":
            return predicted**0.5
        share = (predicted + 1) / 2
        return (0.5 * (share * np.log(largest) + (1 - share) * np.log(smallest))).exp()
