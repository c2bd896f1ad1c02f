"""Decoders whose U-Net takes an additional image, the hint, such as depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.images.kinds import ImageInput
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.codec import Generators, check_spread
from autopipe_components.steps.guidance import double
from autopipe_kandinsky.decoder import Embeds, Result, Start, joined
from autopipe_kandinsky.image2image import FromImage
from autopipe_kandinsky.text2image import FromNoise

from .steps import KandinskyV22Decoder

_CELL = 8
"""Pixels of a hint per latent pixel, along each axis, for every autoencoder."""


class KandinskyV22Hinted(KandinskyV22Decoder):
    """The steps that decoders with a hint share."""

    @property
    def latent_channels(self) -> int:
        # The U-Net takes as many channels of the hint as of latents.
        return int(self.unet.config.in_channels) // 2

    def check_denoiser(self) -> None:
        if self.unet.config.addition_embed_type != "image_hint":
            raise ArgumentError(
                "this checkpoint's U-Net doesn't take a hint; load one that does, such as "
                "controlnet-depth, or use a pipeline without a hint"
            )

    def prepare_start(self, rows: int) -> Start:
        start = super().prepare_start(rows)
        self._hints(start)
        return start

    def encode_conditioning(self, start: Start) -> Tensors:
        tensors = super().encode_conditioning(start)
        hints = self.repeat_for_batch(self._hints(start), start.rows, "hints")
        hints = double(hints) if self.do_classifier_free_guidance else hints
        return {**tensors, "hint": hints.to(tensors["image_embeds"])}

    def _hints(self, start: Start) -> Tensor:
        """Return the hints as one tensor (N, 3, H, W).

        Raises:
            ArgumentError: if they have another size, or the number of rows is not a multiple of N.
            ArgumentTypeError: if they are absent, or not tensors.
        """
        height, width = start.size[0] * _CELL, start.size[1] * _CELL
        advice = "give such a tensor, or change height and width"
        hints = joined("hint", self.call.hint, (3, height, width), advice)
        check_spread(hints, start.rows, "hints")
        return hints

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        inputs = super().denoiser_inputs(tensors)
        return {
            **inputs,
            "added_cond_kwargs": {**inputs["added_cond_kwargs"], "hint": tensors["hint"]},
        }


class KandinskyV22ControlnetPipeline(KandinskyV22Hinted, FromNoise):
    """The decoder of Kandinsky 2.2 with a hint, for text to image."""

    @pipeline_call
    def __call__(
        self,
        image_embeds: Embeds,
        negative_image_embeds: Embeds,
        hint: Tensor | list[Tensor],
        height: int = 512,
        width: int = 512,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        return_dict: bool = True,
        *,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images from the prior's embeddings, conditioned on `hint`.

        All other parameters are those of `KandinskyV22Pipeline`.

        Args:
            hint: (N, 3, H, W), 8 pixels per latent pixel; one per embedding, or fewer, which are
                then repeated.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()


class KandinskyV22ControlnetImg2ImgPipeline(KandinskyV22Hinted, FromImage):
    """The decoder of Kandinsky 2.2 with a hint, for image to image."""

    @pipeline_call
    def __call__(
        self,
        image_embeds: Embeds,
        image: ImageInput,
        negative_image_embeds: Embeds,
        hint: Tensor | list[Tensor],
        height: int = 512,
        width: int = 512,
        num_inference_steps: int = 100,
        guidance_scale: float = 4.0,
        strength: float = 0.3,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        output_type: str = "pil",
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        return_dict: bool = True,
        *,
        latents: Tensor | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Change `image` towards the prior's embeddings, conditioned on `hint`.

        `hint` is that of `KandinskyV22ControlnetPipeline`, all others are those of
        `KandinskyV22Img2ImgPipeline`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
