"""What all schedulers here share: the checks of arguments, copies, and bounds of samples.

Copies of a scheduler share its tensors, so these are replaced and never changed in place.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from torch import Tensor

from autopipe.config import FrozenConfig
from autopipe.errors import SchedulerError
from autopipe.scheduling import SchedulerMixin

from .inputs import check_prediction, check_timestep
from .options import LEARNED_VARIANCES, LIMITS, check_choice
from .step_index import Timestep
from .thresholding import threshold

_Self = TypeVar("_Self", bound="CheckedScheduler")


class CheckedScheduler(SchedulerMixin):
    """A scheduler of float samples that checks its config and the arguments of its methods.

    Subclasses decorate `__init__` with `register_to_config`.
    """

    config_limits = LIMITS
    num_inference_steps: int | None = None

    @classmethod
    def check_config(cls, config: Mapping[str, Any]) -> None:
        """Check a changed config as the constructor does."""
        cls(**{name: config[name] for name in cls.init_parameters() if name in config})

    def _choose(
        self,
        option: str,
        allowed: Collection[str | None],
        stand_ins: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """Return the checked value of an option; replace those of other solvers by equivalents."""
        if self.config[option] in stand_ins:
            self.register_to_config(**{option: stand_ins[self.config[option]]})
        check_choice(self, option, self.config[option], allowed)
        return self.config[option]

    def copy(self: _Self) -> _Self:
        """Return an independent copy with the same config and state; it takes almost no memory."""
        twin = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, (list, FrozenConfig)):
                vars(twin)[name] = copy.copy(value)
        return twin

    def scale_model_input(self, sample: Tensor, timestep: Timestep | None = None) -> Tensor:
        """Return the input of the network: `sample`, unchanged in the variance-preserving view."""
        return sample

    def _steps(self) -> int:
        """Return the number of inference steps; raise `SchedulerError` before `set_timesteps`."""
        if self.num_inference_steps is None:
            raise SchedulerError(
                f"{type(self).__name__}.step needs set_timesteps to be called first"
            )
        return self.num_inference_steps

    def _check_step(self, model_output: Tensor, timestep: Timestep, sample: Tensor) -> None:
        """Raise `SchedulerError` if the arguments of `step` don't fit together."""
        check_timestep(self, timestep)
        self._check_prediction(model_output, sample)

    def _check_prediction(self, model_output: Tensor, sample: Tensor) -> None:
        learned = (
            "variance_type" in self.init_parameters()
            and self.config.variance_type in LEARNED_VARIANCES
        )
        check_prediction(self, model_output, sample, learned=learned)

    @property
    def _declared(self) -> dict[str, Any]:
        """The config without entries of other classes, except for limits of sigmas."""
        ours = {*self.init_parameters(), "sigma_min", "sigma_max"}
        return {key: value for key, value in self.config.items() if key in ours}

    def _thresholded(self, sample: Tensor) -> Tensor:
        """Return `sample` after dynamic thresholding with the options of the config."""
        config = self.config
        return threshold(sample, config.dynamic_thresholding_ratio, config.sample_max_value)

    def _bounded(self, sample: Tensor) -> Tensor:
        """Return a predicted clean sample, thresholded or clipped according to the config."""
        config = self._declared
        if config.get("thresholding"):
            return self._thresholded(sample)
        if config.get("clip_sample"):
            limit = config["clip_sample_range"]
            return sample.clamp(-limit, limit)
        return sample
