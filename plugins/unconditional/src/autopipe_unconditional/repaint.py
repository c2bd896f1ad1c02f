"""RePaint: inpainting without a prompt, by networks that were not trained for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.image_processor import VaeImageProcessor, mask_processor
from autopipe_components.images.arrays import batch_tensors
from autopipe_components.images.kinds import ImageInput, as_list, kind_of
from autopipe_components.noise import sources
from autopipe_components.schedulers.output import SchedulerOutput
from autopipe_components.steps.callbacks import StepCallbacks
from autopipe_components.steps.checks import check_at_least_one
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.timesteps import Schedule, set_schedule

from .labels import Labels
from .schedulers.repaint import RePaintScheduler
from .steps import Predict, Result, UnconditionalSteps, converted

_MULTIPLE = 8
"""The multiple, in pixels, to which the sides of PIL images are rounded down."""


class RePaintPipeline(UnconditionalSteps):
    """Repaints a part of images, with `RePaintScheduler`.

    If the pipeline has another scheduler, as one that `from_pipe` made, calls convert it.

    "RePaint: Inpainting using Denoising Diffusion Probabilistic Models" (Lugmayr et al., 2022,
    arXiv:2201.09865).
    """

    scheduler: RePaintScheduler
    _image: Tensor
    _mask: Tensor
    _walk: Walk

    @pipeline_call
    def __call__(
        self,
        image: ImageInput,
        mask_image: ImageInput,
        num_inference_steps: int = 250,
        eta: float = 0.0,
        jump_length: int = 10,
        jump_n_sample: int = 10,
        generator: Generators = None,
        output_type: str = "pil",
        return_dict: bool = True,
        *,
        class_labels: Labels = None,
        latents: Tensor | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint the black part of masks.

        All other parameters are those of `DDPMPipeline`.

        Args:
            image: PIL images, whose sides are rounded down to a multiple of 8; arrays (H, W, C) or
                (N, H, W, C) in [0, 1]; tensors (C, H, W) or (N, C, H, W) in [-1, 1]; or a list of
                one of these.
            mask_image: the masks, white or 1 where an image is *kept*; one, or one for each image.
                PIL images and arrays are resized; tensors have the size of the images.
            num_inference_steps: the number of noise levels. With jumps there are more steps.
            eta: how much noise each step adds, from 0, none, to 1, that of DDPM.
            jump_length: how many levels a jump goes back, so that both parts come to fit.
            jump_n_sample: how many times the levels between two jumps are walked; 1 never jumps.
            generator: the random generator, or a list with one per image. A list draws the start;
                then its first generator draws for all images.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    @property
    def sample_size(self) -> tuple[int, int]:
        """Height and width of the images of the call."""
        height, width = self._image.shape[-2:]
        return height, width

    @property
    def rows(self) -> int:
        """The number of images of the call."""
        return len(self._image)

    def begin_call(self) -> StepCallbacks:
        """Check the arguments, and prepare images and masks."""
        call = self.call
        # The run of a call has a scheduler of its own; that of the pipeline stays.
        vars(self)["scheduler"] = converted(self.scheduler, RePaintScheduler)
        for name in ("jump_length", "jump_n_sample"):
            check_at_least_one(name, call[name])
        device, dtype = self._execution_device, self.unet.dtype
        self._image = _pixels(call.image, self.unet.config.in_channels).to(device, dtype)
        self._mask = _mask(call.mask_image, *self._image.shape[-2:]).to(device, dtype)
        if len(self._mask) not in (1, len(self._image)):
            raise ArgumentError(
                f"there are {len(self._mask)} masks for {len(self._image)} images; give one, or "
                "one for each"
            )
        return super().begin_call()

    def make_schedule(self) -> Schedule:
        """Set the schedule of the call, with its jumps."""
        call = self.call
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=call.num_inference_steps,
            device=self._execution_device,
            jump_length=call.jump_length,
            jump_n_sample=call.jump_n_sample,
        )
        self.scheduler.eta = call.eta
        source = sources(call.generator, self.rows)[0]
        self._walk = Walk(self.scheduler, self._image, self._mask, source)
        return Schedule(schedule.timesteps, len(schedule.timesteps))

    def make_predictor(self, tensors: Tensors) -> Predict:
        """Return the function that predicts in each step, except for those that go back."""

        def predict(step: int, timestep: Tensor) -> Tensor:
            sample = tensors["latents"]
            return sample if self._walk.goes_back(timestep) else self.ask(sample, timestep, tensors)

        return predict

    def make_stepper(self, schedule: Schedule) -> Walk:
        """Return what steps in the loop."""
        return self._walk

    def step_options(self) -> dict[str, Any]:
        """Return no arguments: the walk has them."""
        return {}


class Walk:
    """A walk along timesteps that now and then rise."""

    order = 1

    def __init__(
        self, scheduler: RePaintScheduler, image: Tensor, mask: Tensor, generator: Generators
    ) -> None:
        self.scheduler, self.image, self.mask, self.generator = scheduler, image, mask, generator
        self.last: Tensor | None = None

    def goes_back(self, timestep: Tensor) -> bool:
        """Whether the step to take at `timestep` adds noise."""
        return self.last is not None and bool(timestep > self.last)

    def step(self, prediction: Tensor, timestep: Tensor, sample: Tensor) -> Any:
        """Return an output with the next sample."""
        last, self.last = self.last, timestep
        if last is not None and timestep > last:
            return SchedulerOutput(self.scheduler.undo_step(sample, last, self.generator))
        return self.scheduler.step(
            prediction, timestep, sample, self.image, self.mask, self.generator
        )


def _pixels(image: Any, channels: int) -> Tensor:
    """Return images as (N, C, H, W) in [-1, 1].

    Raises:
        ArgumentError: if the network takes another number of channels, `channels`.
        ArgumentTypeError: if it is not an image.
    """
    if kind_of(image) == "pt":
        pixels = batch_tensors(as_list(image))
    else:
        grey = channels == 1
        processor = VaeImageProcessor(
            vae_scale_factor=_MULTIPLE,
            vae_latent_channels=0,
            do_convert_rgb=not grey,
            do_convert_grayscale=grey,
        )
        pixels = processor.preprocess(image)
    if pixels.shape[1] != channels:
        raise ArgumentError(
            f"image has {pixels.shape[1]} channels (its shape is {tuple(pixels.shape)}), and this "
            f"network draws {channels}"
        )
    return pixels


def _mask(mask: Any, height: int, width: int) -> Tensor:
    """Return masks as (M, 1, `height`, `width`), 1 where the image is kept.

    Raises:
        ArgumentError: if tensors have another size.
        ArgumentTypeError: if it is not an image.
    """
    if kind_of(mask, "mask_image") != "pt":
        return mask_processor(1, resample="nearest").preprocess(mask, height, width)
    found = batch_tensors(as_list(mask), of_masks=True)
    if found.shape[1:] != (1, height, width):
        raise ArgumentError(
            f"mask_image has the shape {tuple(found.shape)}; give (N, 1, {height}, {width}), the "
            "size of the image with one channel, or a PIL image, which is resized"
        )
    return found
