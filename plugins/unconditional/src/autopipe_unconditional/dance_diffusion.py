"""Dance Diffusion: denoises waveforms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.outputs import BaseOutput
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe.placement.room import check_room
from autopipe.wording import shown
from autopipe_components.steps.callbacks import StepCallbacks, step_callbacks
from autopipe_components.steps.checks import (
    check_at_least_one,
    check_components,
    check_generators,
    check_number,
    check_steps,
)
from autopipe_components.steps.codec import Generators

from .networks.unet_1d import UNet1DModel
from .steps import UnconditionalSteps

if TYPE_CHECKING:
    import numpy as np

_LONGEST = 1 << 30
"""The most samples of a waveform, far above what any network takes."""

_LEAST = 3
"""The least length of a waveform, in units of its `_multiple`."""


@dataclass
class AudioPipelineOutput(BaseOutput):
    """`audios`: waveforms (B, channels, samples) in [-1, 1], float32."""

    audios: np.ndarray


Result: TypeAlias = AudioPipelineOutput | tuple[Any]


class DanceDiffusionPipeline(UnconditionalSteps):
    """Makes sounds as waveforms, with a one-dimensional U-Net (Zach Evans, Harmonai, 2022).

    Args:
        unet: a `UNet1DModel`.
        scheduler: an `IPNDMScheduler`, or another one whose timesteps are times from 1 to 0.
    """

    _callback_tensor_inputs = ("latents",)

    unet: UNet1DModel  # type: ignore[assignment]  # of waveforms

    @pipeline_call
    def __call__(
        self,
        batch_size: int = 1,
        num_inference_steps: int = 100,
        generator: Generators = None,
        audio_length_in_s: float | None = None,
        return_dict: bool = True,
        *,
        latents: Tensor | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Make sounds.

        Args:
            batch_size: the number of sounds.
            num_inference_steps: the number of denoising steps; more give better sounds.
            generator: the random generator, or a list with one per sound.
            audio_length_in_s: the length in seconds; by default that of the training.
            return_dict: if False, return a tuple.
            latents: the initial noise (B, channels, samples), whose samples are rounded up to what
                the network takes; by default it is sampled.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step;
                tensors in the dict that it returns replace those of the call. Setting
                `run._interrupt = True` skips the remaining steps.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            check_memory: if False, don't refuse calls that certainly exceed the memory.
            adapters: the strengths of the attachments in this call; by default those of the
                pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `AudioPipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()  # type: ignore[return-value]  # see `make_output`

    @property
    def sampling_rate(self) -> int | None:
        """The samples per second; None if the config of the network doesn't say it."""
        rate: int | None = self.unet.config.sample_rate
        return rate

    @property
    def class_count(self) -> None:
        """There are no classes."""

    def begin_call(self) -> StepCallbacks:
        call = self.call
        check_components(self, ("unet", "scheduler"))
        check_at_least_one("batch_size", call.batch_size)
        check_steps(call.num_inference_steps)
        check_generators(call.generator, self.rows)
        self._check_length()
        if call.check_memory:
            check_room(self.network_sizes(), self.rows, self._execution_device)
        return step_callbacks(
            self, call.callback_on_step_end, call.callback_on_step_end_tensor_inputs
        )

    def network_sizes(self) -> list[tuple[Any, int, int]]:
        (length,) = self.sample_size
        return [(self.unet, 1, length)]

    def _check_length(self) -> None:
        seconds, least = self.call.audio_length_in_s, _LEAST * self._multiple
        if seconds is not None:
            check_number("audio_length_in_s", seconds)
            if self.sampling_rate is None:
                raise ArgumentError(
                    "audio_length_in_s needs a sample_rate, which the config of the network lacks; "
                    "register it: pipe.unet.register_to_config(sample_rate=16000)"
                )
            if not math.isfinite(seconds) or seconds * self.sampling_rate > _LONGEST:
                raise ArgumentError(
                    f"audio_length_in_s is {shown(seconds)}; the limit is {_LONGEST:,} samples, at "
                    f"{self.sampling_rate:,} per second"
                )
        if self._samples < least:
            about = "the sample_size of the network" if seconds is None else "audio_length_in_s"
            rate = "" if self.sampling_rate is None else f" ({least / self.sampling_rate:g} s)"
            raise ArgumentError(
                f"{about} asks for {int(self._samples)} samples, which is too short; the network "
                f"takes {least}{rate} or more"
            )

    @property
    def _samples(self) -> float:
        """The samples that the call asks for, possibly a fraction."""
        seconds: float | None = self.call.audio_length_in_s
        if seconds is None or self.sampling_rate is None:
            return int(self.unet.config.sample_size)
        return seconds * self.sampling_rate

    @property
    def _multiple(self) -> int:
        """The number that lengths are rounded up to multiples of."""
        return max(1 << len(self.unet.up_blocks), self.unet.length_multiple)

    @property
    def sample_size(self) -> tuple[int, ...]:  # type: ignore[override]  # of one axis
        """The samples that the network gets."""
        samples, multiple = self._samples, self._multiple
        return (int(samples if samples % multiple == 0 else (samples // multiple + 1) * multiple),)

    def ask(self, sample: Tensor, timestep: Tensor, tensors: Tensors) -> Tensor:
        predicted: Tensor = self.unet(sample, timestep, return_dict=False)[0]
        return predicted

    def decode(self, denoised: Tensor) -> Tensor:
        return denoised[..., : int(self._samples)].clamp(-1, 1)

    def make_output(self, images: Tensor) -> Any:
        made = images.float().cpu().numpy()
        return AudioPipelineOutput(audios=made) if self.call.return_dict else (made,)
