"""Inpainting: repaints the masked part of an image with a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback
from autopipe.tasks import Inpaint
from autopipe_components.images.kinds import ImageInput
from autopipe_components.latent import LatentInpaint
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.codec import Codec, Generators, VaeCodec, are_latents
from autopipe_components.steps.given import checks_of

from .output import Result
from .prompts import GIVEN
from .steps import StableDiffusion3Steps


class InpaintCodec(VaeCodec):
    """Decodes latents without their shift, as diffusers does in this task alone."""

    def decode_with(self, vae: Any, latents: Tensor) -> Tensor:
        image: Tensor = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample
        return image


class StableDiffusion3InpaintPipeline(StableDiffusion3Steps, LatentInpaint[Result], Inpaint):
    """Inpainting with Stable Diffusion 3; the transformer may take the mask, or not."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        *StableDiffusion3Steps._callback_tensor_inputs,
        "mask",
        "masked_image_latents",
    )

    check_inputs = checks_of("prompt prompt_2 prompt_3 height width strength", GIVEN)

    @pipeline_call
    def __call__(  # type: ignore[override]  # prompt_2 comes before image
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        prompt_3: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        mask_image: ImageInput = None,  # type: ignore[assignment]
        masked_image_latents: Tensor | None = None,
        height: int | None = None,
        width: int | None = None,
        padding_mask_crop: int | None = None,
        strength: float = 0.6,
        num_inference_steps: int = 50,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 7.0,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        negative_prompt_3: Prompt | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        output_type: str = "pil",
        return_dict: bool = True,
        joint_attention_kwargs: dict[str, Any] | None = None,
        clip_skip: int | None = None,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        max_sequence_length: int = 256,
        mu: float | None = None,
        *,
        paste_unmasked: bool = False,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Repaint the white part of `mask_image` with `prompt`.

        All other parameters are those of `StableDiffusion3Img2ImgPipeline`.

        Args:
            image: the image: PIL, array or tensor, a list, or latents (N, C, h, w). One per prompt,
                or fewer, which are then repeated.
            mask_image: the mask, of the same types; values of at least 0.5 are repainted.
            masked_image_latents: what the autoencoder makes of the image without its masked part,
                for transformers that take it: latents before they are shifted and scaled.
            height, width: in pixels; the image is resized to them. The default is the training
                resolution of the transformer.
            padding_mask_crop: crop the image to the mask with at least this many pixels around it,
                repaint the crop at full size, and paste it back. PIL images only.
            strength: the part of the steps to take, in [0, 1]; only exactly 1 starts from pure
                noise.
            latents: unit noise (B, C, h, w); by default it is sampled.
            paste_unmasked: restore the unmasked pixels of the image exactly. Otherwise they differ
                slightly, because they are encoded and decoded.

        Returns:
            `StableDiffusion3PipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    @property
    def codec(self) -> Codec:
        codec = super().codec
        return InpaintCodec(codec.vae) if isinstance(codec, VaeCodec) else codec

    def begin_call(self) -> int:
        batch_size = super().begin_call()
        given, codec = self.call.masked_image_latents, self.codec
        is_encoded = isinstance(given, Tensor) and given.ndim == 4 and are_latents(codec, given)
        if is_encoded and self.vae is not None:
            config = self.vae.config
            scaled = (given - (config.shift_factor or 0.0)) * config.scaling_factor
            self.call = self.call.replace(masked_image_latents=scaled)
        return batch_size
