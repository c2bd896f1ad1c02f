"""The call of all pipelines of the family, from the checks to the output.

Pipelines add the start of the pixels and what they restore after each step; nothing here depends on
a task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.pipeline.loop import Tensors
from autopipe_components.images.arrays import denormalize, pt_to_numpy
from autopipe_components.safety import needs_extractor
from autopipe_components.steps.callbacks import StepCallbacks, step_callbacks
from autopipe_components.steps.checks import (
    batch_size_of,
    check_components,
    check_eta,
    check_size,
    check_steps,
)
from autopipe_components.steps.codec import PixelCodec, in_dtype_of
from autopipe_components.steps.given import check_images_given
from autopipe_components.steps.image2image import encode_start
from autopipe_components.steps.prompt import check_halves, check_texts, join_halves
from autopipe_components.steps.timesteps import Schedule, keep_tail, set_schedule

from .call import Call
from .components import IFComponents
from .output import IFPipelineOutput
from .pixels import CHANNELS

Result: TypeAlias = "IFPipelineOutput | tuple[Any, list[bool] | None, list[bool] | None]"

Start: TypeAlias = Callable[[Tensors, Schedule], None]
"""Adds the initial pixels to the tensors of a call, as `"latents"`, and other tensors."""

Keep: TypeAlias = Callable[[int, Tensor, Tensor], Tensor]
"""Restores what a task keeps after each step, as `keep` of the core's loop."""


class IFSteps(IFComponents):
    """The call of all pipelines; the arguments are those of `IFComponents`."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "prompt_embeds")
    output_types = ("pil", "np", "pt")
    denoiser_in_channels: ClassVar[int] = CHANNELS
    """The input channels of the U-Net: the denoised pixels, and possibly others."""

    _guidance_scale: float = 7.0

    call: Call

    @property
    def _prompts(self) -> int:
        """The number of prompts of the call."""
        return batch_size_of(self.call.prompt, self.call.prompt_embeds)

    @property
    def _batch_size(self) -> int:
        """The number of images of the call."""
        return self._prompts * self.call.num_images_per_prompt

    def run_task(self) -> Result:
        """Run the body of every call."""
        # 1. Check everything that can be checked
        callbacks = self.begin_call()
        start = self.prepare_start()

        # 2. Set the schedule
        schedule = self.make_schedule()

        # 3. Encode the prompt
        tensors = in_dtype_of(self.unet, self.encode_conditioning())

        # 4. Add the initial pixels
        start(tensors, schedule)

        # 5. Denoise
        pixels = self.run_loop(
            tensors,
            self.make_predictor(tensors),
            schedule,
            callbacks,
            eta=self.call.eta,
            generator=self.call.generator,
            keep=self._keep(tensors),
        )

        # 6. Convert to images
        return self.make_output(pixels)

    # Steps, in order

    def begin_call(self) -> StepCallbacks:
        """Check the common arguments, and set the state of the call.

        Returns:
            The callbacks for the denoising loop.

        Raises:
            ArgumentError: if an argument is not valid, or the U-Net doesn't fit this pipeline.
            ArgumentTypeError: if an argument has the wrong type.
        """
        call = self.call
        check_components(self, self.required_components)
        if needs_extractor(self.safety_checker):
            check_components(self, ("feature_extractor",))
        prompts = check_texts(call, self.unet.config)
        self.check_denoiser()
        self.set_call_state(
            prompts,
            num_images_per_prompt=call.num_images_per_prompt,
            generator=call.generator,
            guidance_scale=call.guidance_scale,
            cross_attention_kwargs=call.cross_attention_kwargs,
            output_type=call.output_type,
        )
        guided = self.do_classifier_free_guidance
        check_halves(call, self.text_encoder, self.tokenizer, guided=guided)
        check_steps(call.num_inference_steps, call.timesteps)
        check_eta(call.eta)
        return step_callbacks(
            self,
            call.callback_on_step_end,
            call.callback_on_step_end_tensor_inputs,
            call.callback,
            call.callback_steps,
        )

    def check_denoiser(self) -> None:
        """Check the channels of the U-Net.

        Raises:
            ArgumentError: if they don't fit this pipeline.
        """
        config, given = self.unet.config, self.denoiser_in_channels
        if config.in_channels != given:
            raise ArgumentError(
                f"{type(self).__name__} needs a U-Net with {given} input channels, not "
                f"{config.in_channels}; those of the first stage have {CHANNELS}, those for "
                f"super-resolution {2 * CHANNELS}"
            )
        if config.out_channels != 2 * CHANNELS:
            raise ArgumentError(
                f"the U-Net predicts {config.out_channels} channels; DeepFloyd IF needs "
                f"{2 * CHANNELS}: noise and variance"
            )

    def _check_size(self, height: int, width: int) -> None:
        """Refuse a size that doesn't fit the U-Net's levels or the memory of this machine."""
        check_size(height, width, 2 ** (len(self.unet.config.block_out_channels) - 1))
        self.check_sample_memory(self._batch_size, height, width)

    def prepare_start(self) -> Start:
        """Check the arguments for the start of a call, and return the start.

        Raises:
            ArgumentError: if an argument is not valid.
            ArgumentTypeError: if an argument has the wrong type.
        """
        raise NotImplementedError

    def make_schedule(self) -> Schedule:
        """Return the schedule, or its last part given by `strength`."""
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=self.call.num_inference_steps,
            device=self._execution_device,
            timesteps=self.call.timesteps,
        )
        return Schedule(*self.get_timesteps(schedule.steps, self.call.get("strength", 1.0)))

    def get_timesteps(self, num_inference_steps: int, strength: float) -> tuple[Tensor, int]:
        """Return the last timesteps of the current schedule, and their number of steps.

        Args:
            num_inference_steps: the number of steps of the whole schedule.
            strength: the part of the steps to take from the end, in [0, 1].

        Raises:
            ArgumentError: if no step remains.
        """
        schedule = keep_tail(self.scheduler, steps=num_inference_steps, strength=strength)
        return schedule.timesteps, schedule.steps

    def encode_conditioning(self) -> Tensors:
        """Return the encoded prompt as tensors of the call; with guidance, negative half first."""
        call = self.call
        embeds, negative = self.encode_prompt(
            call.prompt,
            self.do_classifier_free_guidance,
            call.num_images_per_prompt,
            negative_prompt=call.negative_prompt,
            prompt_embeds=call.prompt_embeds,
            negative_prompt_embeds=call.negative_prompt_embeds,
            clean_caption=call.clean_caption,
        )
        return {"prompt_embeds": embeds if negative is None else join_halves(embeds, negative)}

    def _for_prompts(self, pixels: Tensor, tensors: Tensors) -> Tensor:
        """Return `pixels` of N images as (P, 3, H, W), one for each prompt."""
        return encode_start(
            PixelCodec(CHANNELS),
            pixels,
            batch_size=self._prompts,
            dtype=tensors["prompt_embeds"].dtype,
            device=self._execution_device,
        )

    def _spread(self, pixels: Tensor, tensors: Tensors) -> Tensor:
        """Return `pixels` of N images as (B, 3, H, W), repeated for each image of a prompt."""
        each = self._for_prompts(pixels, tensors)
        return each.repeat_interleave(self.call.num_images_per_prompt, dim=0)

    def check_given_arguments(self, given: Mapping[str, Any]) -> None:
        super().check_given_arguments(given)
        for name in ("image", "original_image", "mask_image"):
            if name in given:
                check_images_given(name, given[name], None, None, given["batch_size"])

    def _keep(self, tensors: Tensors) -> Keep | None:
        """Return the function that restores pixels after each step, or None."""
        return None

    def make_output(self, pixels: Tensor) -> Result:
        """Return the output of a call for the denoised `pixels` (B, 3, H, W)."""
        output_type = self.call.output_type
        images: Any = pixels
        unwanted = marked = None
        if output_type != "pt":
            images, unwanted, marked = self.run_safety_checker(
                pt_to_numpy(denormalize(pixels)), pixels.device, pixels.dtype
            )
        if output_type == "pil":
            images = self.numpy_to_pil(images)
            if self.watermarker is not None:
                self.watermarker.apply_watermark(images, self.unet.config.sample_size)
        if not self.call.return_dict:
            return images, unwanted, marked
        return IFPipelineOutput(images=images, nsfw_detected=unwanted, watermark_detected=marked)
