"""Families whose network predicts the velocity of a flow from noise to images."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from ..steps.codec import Generators
from ..steps.flow import keep_flow_tail, set_flow_schedule
from ..steps.timesteps import Schedule
from .steps import LatentPipeline

_Result = TypeVar("_Result")


class FlowPipeline(LatentPipeline[_Result]):
    """The base class of latent families that follow a flow, with the tasks of latent families.

    The schedule depends on the size of the image: the more tokens it has, the more the schedule is
    shifted towards noise. "Flow Matching for Generative Modeling" (Lipman et al., 2023,
    arXiv:2210.02747).
    """

    attention_argument = "joint_attention_kwargs"

    even_levels: ClassVar[bool] = True
    """Whether the levels of noise before the shift fall evenly from 1, whatever range the scheduler
    was trained on; False leaves them to the scheduler."""

    @property
    def joint_attention_kwargs(self) -> dict[str, Any] | None:
        """The keyword arguments for the network's attention."""
        return self._cross_attention_kwargs

    def attention_given(self) -> dict[str, Any] | None:
        given: dict[str, Any] | None = self.call.get("joint_attention_kwargs")
        return given

    @property
    def token_side(self) -> int:
        """The number of latent cells along each side of a token; by default `patch_size`."""
        side: int = self.denoiser.config.patch_size
        return side

    def count_tokens(self) -> int:
        """Return the number of tokens of one image of the call."""
        height, width = self.image_size
        side = self.vae_scale_factor * self.token_side
        return (height // side) * (width // side)

    def make_schedule(self) -> Schedule:
        call = self.call
        return set_flow_schedule(
            self.scheduler,
            tokens=self.count_tokens(),
            num_inference_steps=call.num_inference_steps,
            device=self._execution_device,
            timesteps=call.get("timesteps"),
            sigmas=call.get("sigmas"),
            mu=call.get("mu"),
            even=self.even_levels,
        )

    def get_timesteps(
        self,
        num_inference_steps: int,
        strength: float,
        device: torch.device | str | None = None,
        denoising_start: float | None = None,
    ) -> tuple[Tensor, int]:
        if denoising_start is not None:
            return super().get_timesteps(num_inference_steps, strength, device, denoising_start)
        kept = keep_flow_tail(self.scheduler, steps=num_inference_steps, strength=strength)
        return kept.timesteps, kept.steps

    def prepare_extra_step_kwargs(self, generator: Generators, eta: float) -> dict[str, Any]:
        """Return nothing: a scheduler that samples draws from torch's own generator."""
        return {}
