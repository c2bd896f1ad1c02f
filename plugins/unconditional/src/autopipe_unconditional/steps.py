"""The steps of every call: pictures are denoised from noise, without a prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, TypeVar

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Scheduler
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.loop import Tensors, accepted_options, denoise
from autopipe.placement.room import check_room
from autopipe.scheduling import SchedulerMixin
from autopipe_components.images.arrays import denormalize, pt_to_numpy
from autopipe_components.images.kinds import check_output_type
from autopipe_components.networks.unet_2d import UNet2DModel
from autopipe_components.steps.callbacks import StepCallbacks, step_callbacks
from autopipe_components.steps.checks import (
    check_at_least_one,
    check_components,
    check_eta,
    check_generators,
    check_steps,
)
from autopipe_components.steps.text2image import start_from_noise
from autopipe_components.steps.timesteps import Schedule, set_schedule

from .labels import check_labels, labels_for, rows_of

_Scheduler = TypeVar("_Scheduler", bound=SchedulerMixin)

Result: TypeAlias = ImagePipelineOutput | tuple[Any]
Predict: TypeAlias = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True)
class Stepper:
    """Steps in the loop in place of a scheduler, where a step is more than that of a scheduler.

    Attributes:
        step: `(prediction, timestep, sample, **options) -> output`, as of a scheduler.
        order: the number of timesteps per step.
    """

    step: Callable[..., Any]
    order: int = 1


def converted(scheduler: Any, kind: type[_Scheduler]) -> _Scheduler:
    """Return `scheduler` if it is of `kind`, or else one of `kind` with its config.

    Raises:
        SchedulerError: if the config doesn't fit.
    """
    if isinstance(scheduler, kind):
        return scheduler
    made: _Scheduler = kind.from_config(scheduler.config)
    return made


class UnconditionalSteps(DiffusionPipeline):
    """The components and the call of pipelines that draw from noise alone.

    Subclasses name their parameters in `__call__` and return `run_task()`; they override the steps
    in which they differ. B is the batch size: `batch_size`, or the number of classes.

    Args:
        unet: the network.
        scheduler: the scheduler.
    """

    model_cpu_offload_seq = "unet"
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "class_labels")
    output_types: ClassVar[tuple[str, ...]] = ("pil", "np", "pt")

    unet: UNet2DModel
    scheduler: SchedulerMixin

    def __init__(self, unet: Network, scheduler: Scheduler) -> None:
        self.register_modules(unet=unet, scheduler=scheduler)

    def run_task(self) -> Result:
        """Run the body of every call."""
        # 1. Check everything that can be checked
        callbacks = self.begin_call()

        # 2. Set the schedule
        schedule = self.make_schedule()

        # 3. Start from noise
        tensors: Tensors = {"latents": self.start()}
        tensors["class_labels"] = self.draw_labels()

        # 4. Denoise
        denoised = denoise(
            self,
            tensors,
            self.make_predictor(tensors),
            timesteps=schedule.timesteps,
            steps=schedule.steps,
            scheduler=self.make_stepper(schedule),
            step_options=self.step_options(),
            **callbacks,
        )

        # 5. Convert to images
        return self.make_output(self.decode(denoised))

    # Steps, in order

    @property
    def sample_size(self) -> tuple[int, int]:
        """Height and width of the samples, those of the training."""
        size = self.unet.config.sample_size
        if size is None:
            raise ArgumentError(
                f"the config of this {type(self.unet).__name__} has no sample_size, which is the "
                f"size of the images; register it: pipe.unet.register_to_config(sample_size=64)"
            )
        return (size, size) if isinstance(size, int) else tuple(size)

    @property
    def class_count(self) -> int | None:
        """The number of classes to choose from; None without classes, and for other inputs."""
        config = self.unet.config
        return config.num_class_embeds if config.class_embed_type is None else None

    @property
    def rows(self) -> int:
        """The number of images of the call."""
        return rows_of(self.call.get("class_labels"), int(self.call.batch_size))

    def begin_call(self) -> StepCallbacks:
        """Check the arguments, and return the callbacks for the loop.

        Raises:
            ArgumentError: if an argument is not valid.
            ArgumentTypeError: if an argument has the wrong type.
        """
        call = self.call
        check_components(self, tuple(type(self).module_names()))
        check_at_least_one("batch_size", call.get("batch_size", 1))
        check_steps(call.num_inference_steps, call.get("timesteps"))
        check_output_type(call.output_type, self.output_types)
        check_eta(call.get("eta", 0.0))
        check_labels(call.get("class_labels"), self.unet, self.class_count)
        if rows_of(call.get("class_labels"), self.rows) != self.rows:
            raise ArgumentError(
                f"class_labels has {len(call.class_labels)} classes for {self.rows} images; give "
                f"one, or one for each"
            )
        check_generators(call.generator, self.rows)
        if call.get("check_memory", True):
            check_room([(self.unet, *self.sample_size)], self.rows, self._execution_device)
        return step_callbacks(
            self,
            call.callback_on_step_end,
            call.callback_on_step_end_tensor_inputs,
            call.get("callback"),
            call.get("callback_steps"),
        )

    def make_schedule(self) -> Schedule:
        """Set the schedule of the call."""
        return set_schedule(
            self.scheduler,
            num_inference_steps=self.call.num_inference_steps,
            device=self._execution_device,
            timesteps=self.call.get("timesteps"),
        )

    def start(self) -> Tensor:
        """Return the initial noise, (B, C, H, W)."""
        return start_from_noise(
            (self.rows, self.unet.config.in_channels, *self.sample_size),
            generator=self.call.generator,
            dtype=self.unet.dtype,
            device=self._execution_device,
            init_noise_sigma=self.scheduler.init_noise_sigma,
            latents=self.call.get("latents"),
        )

    def draw_labels(self) -> Tensor | None:
        """Return a class for each image, (B,), or None."""
        return labels_for(
            self.call.get("class_labels"),
            self.rows,
            self.class_count,
            self.call.generator,
            self._execution_device,
        )

    def make_predictor(self, tensors: Tensors) -> Predict:
        """Return the function that predicts in each step."""

        def predict(step: int, timestep: Tensor) -> Tensor:
            sample = self.scheduler.scale_model_input(tensors["latents"], timestep)
            return self.ask(sample, timestep, tensors)

        return predict

    def ask(self, sample: Tensor, timestep: Tensor, tensors: Tensors) -> Tensor:
        """Return what the network predicts for `sample` at `timestep`."""
        predicted: Tensor = self.unet(sample, timestep, tensors["class_labels"], return_dict=False)[
            0
        ]
        return predicted

    def make_stepper(self, schedule: Schedule) -> Any:
        """Return what steps in the loop: the scheduler, unless a step is more than that."""
        return self.scheduler

    def step_options(self) -> dict[str, Any]:
        """Return the additional arguments of the scheduler's `step`, those that it takes."""
        return accepted_options(
            self.scheduler, generator=self.call.generator, eta=self.call.get("eta", 0.0)
        )

    def decode(self, denoised: Tensor) -> Tensor:
        """Return the images of what the loop made, (B, C, H, W) in [0, 1]."""
        return denormalize(denoised)

    def make_output(self, images: Tensor) -> Result:
        """Return the output of a call for `images` (B, C, H, W) in [0, 1]."""
        made: Any = images
        if self.call.output_type != "pt":
            made = pt_to_numpy(images)
        if self.call.output_type == "pil":
            made = self.numpy_to_pil(made)
        return ImagePipelineOutput(images=made) if self.call.return_dict else (made,)
