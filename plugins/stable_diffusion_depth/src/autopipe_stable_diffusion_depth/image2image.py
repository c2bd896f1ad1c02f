"""Image to image that keeps the depth of the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe.tasks import Image2Image
from autopipe_components.guided import Predict
from autopipe_components.images.kinds import ImageInput, kind_of
from autopipe_components.latent import LatentImage2Image
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt, batch_size_of, check_components, check_image
from autopipe_components.steps.codec import Generators, are_latents, tile
from autopipe_components.steps.given import NAMES, TEXTS, checks_of
from autopipe_components.steps.guidance import double
from autopipe_stable_diffusion.corrections import correct_sample_size
from autopipe_stable_diffusion.text_steps import TextSteps

from .depth import check_depth_map, estimate_depth, fit_depth

Result: TypeAlias = "ImagePipelineOutput | tuple[Any]"


class StableDiffusionDepth2ImgPipeline(TextSteps[Result], LatentImage2Image[Result], Image2Image):
    """Image to image with the depth model of Stable Diffusion 2 (arXiv:2112.10752).

    The network sees the depth of the image, so that shapes stay even at a `strength` of 1.

    Args:
        vae: an `AutoencoderKL`.
        text_encoder: a `transformers.CLIPTextModel`.
        tokenizer: a `transformers.CLIPTokenizer`.
        unet: a `UNet2DConditionModel` with a further input channel for the depth.
        scheduler: any scheduler.
        depth_estimator: a `transformers.DPTForDepthEstimation` (arXiv:2103.13413), plain or hybrid.
        feature_extractor: a `transformers.DPTImageProcessor`.
    """

    model_cpu_offload_seq = "text_encoder->depth_estimator->unet->vae"
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "negative_prompt_embeds",
        "depth_mask",
    )
    output_class = ImagePipelineOutput

    depth_estimator: Any

    check_inputs = checks_of("prompt strength callback_steps", f"{TEXTS} {NAMES}")

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        unet: Network,
        scheduler: Scheduler,
        depth_estimator: Network,
        feature_extractor: Processor,
    ) -> None:
        correct_sample_size(unet)
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            depth_estimator=depth_estimator,
            feature_extractor=feature_extractor,
        )

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        depth_map: Tensor | None = None,
        strength: float = 0.8,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        callback: OlderCallback | None = None,
        callback_steps: int | None = None,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Change `image` towards `prompt` and keep its depth.

        All other parameters are those of `StableDiffusionImg2ImgPipeline`.

        Args:
            image: the initial image: PIL, array or tensor, or a list; or latents (N, C, h, w),
                together with `depth_map`. One per prompt, or fewer, which are then repeated.
            depth_map: the depth (N, H, W), of any scale, larger values nearer; by default it is
                estimated. One per prompt, or fewer, which are then repeated.
            strength: the part of the steps to take, in [0, 1]; at 1 only the depth of the image
                counts.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    # Steps of a call, in order

    def check_conditioning(self) -> None:
        super().check_conditioning()
        call = self.call
        prompts = batch_size_of(call.prompt, call.prompt_embeds)
        check_depth_map(call.depth_map, prompts * call.num_images_per_prompt)
        check_image(call.image)
        if call.depth_map is None:
            check_components(self, ("depth_estimator", "feature_extractor"))
            if are_latents(self.codec, self.image_to_pixels(call.image)):
                raise ArgumentError(
                    "image is latents, whose depth can't be estimated; give depth_map too, or the "
                    "image as pixels"
                )

    def check_denoiser(self) -> None:
        takes, latents = self.denoiser_in_channels, self.codec.channels
        if takes != latents + 1:
            raise ArgumentError(
                f"the network takes {takes} channels, and this class gives it {latents} of the "
                f"latents and one of the depth; load the checkpoint of a depth model, or draw with "
                f"StableDiffusionImg2ImgPipeline"
            )

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        tensors, guided = (
            super().encode_conditioning(height, width),
            self.do_classifier_free_guidance,
        )
        embeds = tensors["prompt_embeds"]
        tensors["depth_mask"] = self.prepare_depth_map(
            self.call.image,
            self.call.depth_map,
            len(embeds) // (2 if guided else 1),
            guided,
            embeds.dtype,
            self._execution_device,
        )
        return tensors

    def prepare_depth_map(
        self,
        image: ImageInput,
        depth_map: Tensor | None,
        batch_size: int,
        do_classifier_free_guidance: bool,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> Tensor:
        """Return the depth of images at the size of their latents, (B or 2B, 1, h, w) in [-1, 1].

        Args:
            image: as in a call.
            depth_map: the depth (N, H, W), instead of estimating it.
            batch_size: B; N divides it.
            do_classifier_free_guidance: whether to double the maps.

        Raises:
            ArgumentError: if the number of maps doesn't divide the batch size.
        """
        pixels = self.image_to_pixels(image)
        if depth_map is None:
            is_pil = kind_of(image) == "pil"
            pictures = image if is_pil else self.image_processor.postprocess(pixels, "pil")
            # The networks of some releases of transformers keep states of a call.
            with self.tokenizing(self.feature_extractor):
                depth_map = estimate_depth(
                    self.depth_estimator, self.feature_extractor, pictures, torch.device(device)
                )
        height, width = self.size_in_pixels(pixels)
        factor = self.vae_scale_factor
        fitted = fit_depth(depth_map.to(device).float(), (height // factor, width // factor))
        maps = tile(fitted.to(dtype), batch_size, "depth maps")
        return double(maps) if do_classifier_free_guidance else maps

    def run_safety_checker(
        self, image: Any, device: torch.device | str, dtype: torch.dtype
    ) -> tuple[Any, None]:
        """Return `image` unchanged, and None for its flags: this class has no safety checker."""
        return image, None

    def make_predictor(
        self, tensors: Tensors, extra_channels: Callable[[], Sequence[Tensor]] = tuple
    ) -> Predict:
        return super().make_predictor(tensors, lambda: [*extra_channels(), tensors["depth_mask"]])
