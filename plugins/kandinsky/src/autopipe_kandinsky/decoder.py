"""The decoder: converts the embedding of an image to the image. The call of all its tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.loop import Tensors
from autopipe_components.guided import GuidedPipeline
from autopipe_components.image_processor import VaeImageProcessor
from autopipe_components.latent.preview import Previewing
from autopipe_components.steps.callbacks import StepCallbacks, step_callbacks
from autopipe_components.steps.checks import (
    check_components,
    check_network_channels,
    check_size,
    check_tensor,
)
from autopipe_components.steps.codec import (
    Codec,
    NoCodec,
    channels_of_latents,
    in_dtype_of,
    tile,
)
from autopipe_components.steps.timesteps import Schedule, keep_tail, set_schedule

from .codec import MovqCodec

if TYPE_CHECKING:
    from autopipe_components.networks.vq_model import VQModel

Embeds: TypeAlias = Tensor | list[Tensor]
"""Embeddings (B, D), or a list of them."""

Result: TypeAlias = "ImagePipelineOutput | tuple[Any]"


@dataclass(frozen=True)
class Start:
    """The start of a call, which tasks extend.

    Attributes:
        rows: the number of embeddings.
        size: height and width in latent pixels.
        schedule: the steps to take.
    """

    rows: int
    size: tuple[int, int]
    schedule: Schedule


class EmbeddingDecoder(Previewing, GuidedPipeline):
    """Generates images from CLIP image embeddings with a U-Net, in the latents of a MoVQ.

    A family defines the inputs of its U-Net by `denoiser_inputs`.
    """

    model_cpu_offload_seq = "unet->movq"
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "image_embeds",
        "negative_image_embeds",
    )
    negative_halves: ClassVar[Mapping[str, str]] = {"negative_image_embeds": "image_embeds"}
    _tensors_as_decoded: ClassVar[bool] = True
    """Whether `output_type="pt"` gives pixels in [-1, 1], as the autoencoder does."""

    movq: VQModel

    _guidance_scale: float = 4.0

    @property
    def movq_scale_factor(self) -> int:
        """The number of pixels per latent pixel, along each axis."""
        return self.codec.factor

    @cached_property
    def image_processor(self) -> VaeImageProcessor:
        """Converts images to tensors, and tensors to images."""
        return VaeImageProcessor(
            vae_scale_factor=self.codec.factor,
            vae_latent_channels=self.codec.channels,
            resample="bicubic",
            reducing_gap=1,
            do_convert_rgb=True,
        )

    @property
    def codec(self) -> Codec:
        if self.movq is None:
            return NoCodec("movq", self.latent_channels)
        return MovqCodec(self.movq)

    @property
    def latent_channels(self) -> int:
        """The number of latent channels, from the U-Net's config."""
        return channels_of_latents(self.unet.config)

    @property
    def image_embedding_dim(self) -> int:
        """The width of image embeddings, from the U-Net's config."""
        raise NotImplementedError

    def run_task(self) -> Result:
        """Run the body of every call."""
        # 1. Check everything that can be checked, and prepare the start
        start = self.prepare_start(self.begin_call())
        callbacks = self.check_callbacks()

        # 2. Prepare the embeddings and the other inputs of the U-Net
        tensors = in_dtype_of(self.unet, self.encode_conditioning(start))

        # 3. Denoise
        latents = self._denoised(tensors, start, callbacks)

        # 4. Decode the images
        return self._returned(latents)

    # Steps, in order

    def begin_call(self) -> int:
        """Check the arguments of all calls, set the state of the call, and return the rows.

        That is the number of embeddings, each of which gives `num_images_per_prompt` images.

        Raises:
            ArgumentError: if an argument is not valid.
            ArgumentTypeError: if an argument has the wrong type.
        """
        return self._begin_embeds()

    def _begin_embeds(self) -> int:
        """Do the part of `begin_call` that concerns embeddings."""
        call = self.call
        check_components(self, self.required_components)
        rows = len(self._rows("image_embeds", call.image_embeds))
        check_size(call.height, call.width, 1)
        self.set_call_state(
            rows,
            num_images_per_prompt=call.num_images_per_prompt,
            generator=call.generator,
            guidance_scale=call.guidance_scale,
            cross_attention_kwargs=None,
            output_type=call.output_type,
        )
        if call.output_type != "latent" and isinstance(self.codec, NoCodec):
            raise self.codec.absent()
        pictures = rows * call.num_images_per_prompt
        self.check_sample_memory(pictures, *self.latent_size(call.height, call.width))
        if self.do_classifier_free_guidance:
            negative = len(self._rows("negative_image_embeds", call.negative_image_embeds))
            if negative != rows:
                raise ArgumentError(
                    f"got {rows} image_embeds and {negative} negative_image_embeds; give equal "
                    f"numbers, as the prior returns them"
                )
        return rows

    def _rows(self, name: str, embeds: Embeds | None) -> Tensor:
        """Return `embeds` as one tensor (B, D)."""
        return joined(
            name, embeds, (self.image_embedding_dim,), "give the output of this decoder's prior"
        )

    def prepare_start(self, rows: int) -> Start:
        """Set the schedule and prepare the start, without running a network.

        Raises:
            ArgumentError: if an argument is not valid.
            ArgumentTypeError: if an argument has the wrong type.
            SchedulerError: if the scheduler doesn't support the schedule.
        """
        raise NotImplementedError

    def check_denoiser(self) -> None:
        """Check that the U-Net fits this pipeline.

        Raises:
            ArgumentError: if it doesn't.
        """
        check_network_channels(self.unet.config.in_channels, self.codec.channels)

    def make_schedule(self, strength: float | None = None) -> Schedule:
        """Return the schedule, or its last part given by `strength`."""
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=self.call.num_inference_steps,
            device=self._execution_device,
        )
        if strength is None:
            return schedule
        return keep_tail(self.scheduler, steps=schedule.steps, strength=strength)

    def check_callbacks(self) -> StepCallbacks:
        """Return the callbacks for the denoising loop."""
        call = self.call
        return step_callbacks(
            self,
            call.callback_on_step_end,
            call.callback_on_step_end_tensor_inputs,
            call.callback,
            call.callback_steps,
        )

    def encode_conditioning(self, start: Start) -> Tensors:
        """Return the embeddings as tensors of the call; with guidance, the negative half first."""
        call = self.call

        def repeated(name: str, embeds: Embeds | None) -> Tensor:
            rows = self._rows(name, embeds).repeat_interleave(call.num_images_per_prompt, dim=0)
            return rows.to(device=self._execution_device, dtype=self.unet.dtype)

        positive = repeated("image_embeds", call.image_embeds)
        if not self.do_classifier_free_guidance:
            return {"image_embeds": positive, "negative_image_embeds": call.negative_image_embeds}
        negative = repeated("negative_image_embeds", call.negative_image_embeds)
        return {
            "image_embeds": torch.cat([negative, positive]),
            "negative_image_embeds": negative,
        }

    def _denoised(self, tensors: Tensors, start: Start, callbacks: StepCallbacks) -> Tensor:
        """Generate the latents of images from `tensors`."""
        raise NotImplementedError

    def denoise_latents(
        self,
        tensors: Tensors,
        start: Start,
        callbacks: StepCallbacks,
        extra_channels: Callable[[], Sequence[Tensor]] = tuple,
        keep: Callable[[int, Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """Denoise the latents in `tensors`; other arguments are those of `GuidedPipeline`."""
        return self.run_loop(
            tensors,
            self.make_predictor(tensors, extra_channels),
            start.schedule,
            callbacks,
            eta=0.0,
            generator=self.call.generator,
            keep=keep,
        )

    def latent_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width in latent pixels, rounded up to the factor's square in pixels."""
        factor = self.codec.factor
        return -(-height // factor**2) * factor, -(-width // factor**2) * factor

    def network_sizes(self, height: int, width: int) -> list[tuple[Any, int, int]]:
        works = super().network_sizes(height, width)
        factor = self.codec.factor
        decodes = self.call.output_type != "latent"
        return [*works, (self.movq, height * factor, width * factor)] if decodes else works

    def _shape(self, rows: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the shape (B, C, h, w) of all latents, for a `size` in latent pixels."""
        return (rows * self.call.num_images_per_prompt, self.codec.channels, *size)

    def repeat_for_batch(self, tensor: Tensor, rows: int, what: str) -> Tensor:
        """Repeat `tensor` (N, ...) for all rows, then for each image.

        Args:
            what: the name of the N items, for the message.

        Raises:
            ArgumentError: if the number of rows is not a multiple of N.
        """
        count = self.call.num_images_per_prompt
        return tile(tensor, rows, what).repeat_interleave(count, dim=0)

    def _returned(self, latents: Tensor) -> Result:
        """Return the output of a call."""
        output_type = self.call.output_type
        images: Any = latents
        if output_type != "latent":
            images = self.codec.decode(latents)
            if not (output_type == "pt" and self._tensors_as_decoded):
                images = self.image_processor.postprocess(images, output_type)
        return ImagePipelineOutput(images=images) if self.call.return_dict else (images,)


def joined(
    name: str, given: Tensor | Sequence[Tensor] | None, shape: tuple[int, ...], advice: str
) -> Tensor:
    """Return `given`, a tensor (N, *`shape`) or a list of tensors, as one tensor.

    Args:
        advice: what to do if it is not valid, for the error.

    Raises:
        ArgumentError: if it has another shape.
        ArgumentTypeError: if it is absent, or not a tensor.
    """
    parts: list[Any] = list(given) if isinstance(given, (list, tuple)) else [given]
    for part in parts or [None]:
        if part is None:
            raise ArgumentError(f"{name} is missing; {advice}")
        check_tensor(name, part)
        if tuple(part.shape[1:]) != shape or not len(part):
            wanted = ", ".join(map(str, ("batch", *shape)))
            raise ArgumentError(
                f"{name} must have the shape ({wanted}), not {tuple(part.shape)}; {advice}"
            )
    return torch.cat(parts)
