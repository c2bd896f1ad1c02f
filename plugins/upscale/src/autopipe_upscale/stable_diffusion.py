"""Enlarges pictures four times, with an upscaler of the kind of Stable Diffusion 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.images.kinds import ImageInput
from autopipe_components.noise import randn_tensor
from autopipe_components.safety import check_images, check_safety
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt, check_whole
from autopipe_components.steps.codec import Codec, Generators, NoCodec, VaeCodec, tile
from autopipe_components.steps.given import checks_of
from autopipe_stable_diffusion.output import Result
from autopipe_stable_diffusion.steps import StableDiffusionSteps

from .pictures import BesidePicture, Enlarging

_SCALING = 0.08333
"""The scaling factor of the latents, whatever the config of the autoencoder says: that of the first
checkpoint lacks it."""


class StableDiffusionUpscalePipeline(Enlarging, StableDiffusionSteps, BesidePicture[Result]):
    """Enlarges pictures, guided by a prompt.

    The latents have the size of the picture, which joins them with some noise; the U-Net is told
    the level of that noise as a class. The autoencoder decodes them enlarged, four times in
    published checkpoints. "High-Resolution Image Synthesis with Latent Diffusion Models" (Rombach
    et al., 2022); the noise: "Cascaded Diffusion Models" (Ho et al., 2021, arXiv:2106.15282).

    Args:
        vae: an `AutoencoderKL`, usually of factor 4. Its `scaling_factor` is not used.
        text_encoder: a `transformers.CLIPTextModel`.
        tokenizer: a `transformers.CLIPTokenizer`.
        unet: a `UNet2DConditionModel` with `num_class_embeds`, that takes latents and picture.
        low_res_scheduler: adds noise to the picture.
        scheduler: any scheduler.
        safety_checker: a network or function that returns images and two lists of flags.
        feature_extractor: a `transformers.CLIPImageProcessor`, required by the safety checker.
        watermarker: an object whose `apply_watermark` marks a list of PIL images, or None.
        max_noise_level: the largest `noise_level` of a call.

    Raises:
        ArgumentError: if there is a safety checker, but no feature extractor.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    _optional_components: ClassVar[tuple[str, ...]] = (
        "watermarker",
        "safety_checker",
        "feature_extractor",
    )
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *StableDiffusionSteps._callback_tensor_inputs,
        "image_latents",
        "noise_level",
    )
    required_components = (*StableDiffusionSteps.required_components, "low_res_scheduler")
    upcasts_vae = True
    scheduler_corrections: ClassVar[Mapping[str, Any]] = {}

    low_res_scheduler: Any
    watermarker: Any

    check_inputs = checks_of(
        "prompt image noise_level callback_steps",
        "negative_prompt prompt_embeds negative_prompt_embeds",
    )

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        unet: Network,
        low_res_scheduler: Scheduler,
        scheduler: Scheduler,
        safety_checker: Network = None,
        feature_extractor: Processor = None,
        watermarker: Any = None,
        max_noise_level: int = 350,
    ) -> None:
        check_safety(
            type(self).__name__,
            safety_checker,
            feature_extractor,
            required=False,
            license_of="Stable Diffusion",
        )
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            low_res_scheduler=low_res_scheduler,
            scheduler=scheduler,
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
            watermarker=watermarker,
        )
        self.register_to_config(max_noise_level=max_noise_level)

    @property
    def codec(self) -> Codec:
        if self.vae is None:
            return NoCodec("vae", 4, 4)
        return VaeCodec(self.vae, upcasts=self.upcasts_vae, scaling=_SCALING)

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        num_inference_steps: int = 75,
        guidance_scale: float = 9.0,
        noise_level: int = 20,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        cross_attention_kwargs: dict[str, Any] | None = None,
        clip_skip: int | None = None,
        *,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Enlarge `image`.

        All other parameters are those of `StableDiffusionPipeline`.

        Args:
            prompt: what the image shows; without one, it is enlarged without a text.
            image: the picture: PIL, array or tensor, or a list. One per prompt, or fewer, which are
                then repeated.
            noise_level: how much noise to add to the picture, from 0 to `max_noise_level`: more
                noise invents more details.
            latents: the initial noise (B, C, h, w), of the size of the picture.

        Returns:
            `StableDiffusionPipelineOutput`, or the tuple of its two values.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    # Steps of a call, in order

    def check_conditioning(self) -> None:
        super().check_conditioning()
        level = self.call.noise_level
        check_whole("noise_level", level)
        known = self.unet.config.num_class_embeds or self.options["max_noise_level"] + 1
        most = min(
            self.options["max_noise_level"],
            int(self.low_res_scheduler.config.num_train_timesteps) - 1,
            known - 1,
        )
        if not 0 <= level <= most:
            raise ArgumentError(f"noise_level is {level}; give 0 to {most}")

    def encode_beside(self, pixels: Tensor, batch_size: int) -> Tensors:
        generator = self.call.generator
        noise = randn_tensor(
            tuple(pixels.shape),
            # One noise serves all pictures that are made of one.
            generator=generator[: len(pixels)] if isinstance(generator, list) else generator,
            device=pixels.device,
            dtype=pixels.dtype,
        )
        level = torch.tensor([self.call.noise_level], device=pixels.device)
        noised = tile(self.low_res_scheduler.add_noise(pixels, noise, level), batch_size, "images")
        rows = batch_size * (2 if self.do_classifier_free_guidance else 1)
        return {"image_latents": tile(noised, rows, "images"), "noise_level": level.repeat(rows)}

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {**super().denoiser_inputs(tensors), "class_labels": tensors["noise_level"]}

    def output_values(self, pixels: Tensor, dtype: torch.dtype) -> tuple[Any, list[bool] | None]:
        pixels, flags, _ = self.run_safety_checker(pixels, pixels.device, dtype)
        in_range = [not black for black in flags or [False] * len(pixels)]
        images = self.image_processor.postprocess(pixels, self.call.output_type, in_range)
        if self.watermarker is not None and self.call.output_type == "pil":
            images = self.watermarker.apply_watermark(images)
        return images, flags

    def run_safety_checker(  # type: ignore[override]
        self, image: Any, device: torch.device | str, dtype: torch.dtype
    ) -> tuple[Any, list[bool] | None, list[bool] | None]:
        """Return `image`, checked, and the flags of two kinds; None without a safety checker.

        Args:
            image: a tensor (B, 3, H, W) in [-1, 1].

        Raises:
            ArgumentTypeError: if the safety checker doesn't return images and two lists of flags.
        """
        if self.safety_checker is None:
            return image, None, None
        checked, flags, marks = check_images(
            self.safety_checker,
            self.feature_extractor,
            image,
            lambda: self.image_processor.postprocess(image, "pil"),
            device=device,
            dtype=dtype,
            kinds=2,
        )
        return checked, flags, marks
