"""Text to colours and depth: generates a picture of a prompt, and how far its pixels are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe_components.latent import LatentText2Image
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Codec, Generators, VaeCodec
from autopipe_components.steps.given import IMAGE_PROMPTS, NAMES, TEXTS, checks_of
from autopipe_stable_diffusion.steps import StableDiffusionSteps

from .depth import check_channels, converted, depth_of
from .output import LDM3DPipelineOutput, Result


class ColourCodec(VaeCodec):
    """The codec of an autoencoder of colours and depth, which also encodes colours alone."""

    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the latents of `image`, whose missing channels are half of their range."""
        missing = int(self.vae.config.in_channels) - image.shape[1]
        return super().encode(F.pad(image, (0, 0, 0, 0, 0, missing)), generator)


class StableDiffusionLDM3DPipeline(StableDiffusionSteps, LatentText2Image[Result]):
    """Colours and depth of a prompt (LDM3D, arXiv 2305.10853).

    Args:
        vae: an `AutoencoderKL` with six channels, or with four.
        text_encoder: a `transformers.CLIPTextModel`.
        tokenizer: a `transformers.CLIPTokenizer`.
        unet: a `UNet2DConditionModel`.
        scheduler: any scheduler.
        safety_checker: a `StableDiffusionSafetyChecker`, or a function `(images, clip_input)` that
            returns images and flags; with None, pictures are not checked.
        feature_extractor: a `transformers.CLIPImageProcessor`, required by the safety checker.
        image_encoder: for add-ons that take image prompts, with the feature extractor.
        requires_safety_checker: whether to warn if there is no safety checker.

    Raises:
        ArgumentError: if there is a safety checker, but no feature extractor.
    """

    output_class = LDM3DPipelineOutput
    scheduler_corrections: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        unet: Network,
        scheduler: Scheduler,
        safety_checker: Network,
        feature_extractor: Processor,
        image_encoder: Network,
        requires_safety_checker: bool = True,
    ) -> None:
        super().__init__(
            vae,
            text_encoder,
            tokenizer,
            unet,
            scheduler,
            safety_checker,
            feature_extractor,
            image_encoder,
            requires_safety_checker,
        )

    check_inputs = checks_of(
        "prompt height width callback_steps", f"{TEXTS} {IMAGE_PROMPTS} {NAMES}"
    )

    @property
    def codec(self) -> Codec:
        return super().codec if self.vae is None else ColourCodec(self.vae)

    def check_conditioning(self) -> None:
        super().check_conditioning()
        if self.vae is not None and self.call.output_type != "latent":
            check_channels(self.vae.config.out_channels)

    def output_values(self, pixels: Tensor, dtype: torch.dtype) -> tuple[Any, ...]:
        kind = self.call.output_type
        pixels, flags = self.run_safety_checker(pixels, pixels.device, dtype)
        in_range = [not black for black in flags or [False] * len(pixels)]
        unit = self.image_processor.postprocess(pixels, "pt", in_range)
        rgb = self.image_processor.postprocess(pixels[:, :3], kind, in_range)
        return rgb, converted(depth_of(unit), kind), flags

    def make_output(
        self,
        latents: Tensor,
        on_pixels: Callable[[Tensor], Tensor] | None = None,
        on_images: Callable[[Any], Any] | None = None,
    ) -> Any:
        made: Any = super().make_output(latents, on_pixels, on_images)
        return made if isinstance(made, LDM3DPipelineOutput) else (made[:2], made[2])

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 49,
        timesteps: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 5.0,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        guidance_rescale: float = 0.0,
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
        """Generate pictures of `prompt`, and their depths.

        All other parameters are those of `StableDiffusionPipeline`.

        Args:
            prompt: a string, or a list of strings.
            height, width: in pixels, multiples of 8; by default the training resolution of the
                U-Net.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.

        Returns:
            `LDM3DPipelineOutput`, or the tuple `((rgb, depth), flags)`.

        Raises:
            ArgumentError: if an argument is not valid, or the autoencoder decodes no depth. Nothing
                was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()
