"""The decoder: draws images from what the prior returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe.wording import shown
from autopipe_components.image_processor import VaeImageProcessor
from autopipe_components.steps.callbacks import StepCallbacks
from autopipe_components.steps.checks import Prompt, check_components
from autopipe_components.steps.codec import Generators

from .steps import WuerstchenStage, cells

Result: TypeAlias = "ImagePipelineOutput | tuple[Any]"

Embeds: TypeAlias = Tensor | list[Tensor] | np.ndarray
"""What the prior returns, (B, C, h, w), or a list of such."""


class WuerstchenDecoderPipeline(WuerstchenStage):
    """The decoder of Würstchen (Pernias et al. 2023, arXiv:2306.00637).

    Args:
        tokenizer: a `transformers.CLIPTokenizer`.
        text_encoder: a `transformers.CLIPTextModel`.
        decoder: a `WuerstchenDiffNeXt`.
        scheduler: a `DDPMWuerstchenScheduler`.
        vqgan: a `PaellaVQModel`.
        latent_dim_scale: the number of latent cells per cell of the prior's result.
    """

    model_cpu_offload_seq = "text_encoder->decoder->vqgan"
    required_components = ("decoder", "scheduler", "tokenizer", "text_encoder")
    _callback_tensor_inputs = (*WuerstchenStage._callback_tensor_inputs, "image_embeddings")
    _guidance_scale = 0.0

    decoder: Any
    vqgan: Any

    def __init__(
        self,
        tokenizer: Processor,
        text_encoder: Network,
        decoder: Network,
        scheduler: Scheduler,
        vqgan: Network,
        latent_dim_scale: float = 10.67,
    ) -> None:
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            decoder=decoder,
            scheduler=scheduler,
            vqgan=vqgan,
        )
        self.register_to_config(latent_dim_scale=latent_dim_scale)

    @property
    def denoiser(self) -> Any:
        return self.decoder

    def encode_prompt(
        self,
        prompt: Prompt,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
        negative_prompt: Prompt | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the hidden states of prompts; as `WuerstchenPriorPipeline.encode_prompt`."""
        return self.embed(
            prompt,
            negative_prompt,
            guided=do_classifier_free_guidance,
            count=num_images_per_prompt,
            device=device,
        )

    @pipeline_call
    def __call__(
        self,
        image_embeddings: Embeds,
        prompt: Prompt | None = None,
        num_inference_steps: int = 12,
        timesteps: Sequence[float] | None = None,
        guidance_scale: float = 0.0,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        *,
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Draw images from the prior's `image_embeddings`.

        All other parameters are those of `WuerstchenPriorPipeline`.

        Args:
            image_embeddings: the prior's result, (B, C, h, w).
            prompt: the text of all embeddings, or a list with one for each.
            num_images_per_prompt: the number of images per embedding.
            output_type: `"pil"`, `"np"`, `"pt"` or `"latent"`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        # 1. Check everything that can be checked
        call = self.call
        embeddings = joined(call.image_embeddings)
        shape, callbacks = self.check_call(embeddings)
        schedule = self.make_schedule()

        # 2. Encode the texts, for each image
        prompts = len(self.prompts() or ())
        tensors = self.encode_texts(shape[0] // prompts)
        device, count = self._execution_device, call.num_images_per_prompt
        tensors["image_embeddings"] = embeddings.to(device).repeat_interleave(count, dim=0)

        # 3. Denoise, and decode the images
        images: Any = self.draw(tensors, shape, schedule, callbacks)
        if call.output_type != "latent":
            scaled = images.to(self.vqgan.dtype) * self.vqgan.config.scale_factor
            images = self.vqgan.decode(scaled).sample
            processor = VaeImageProcessor(do_normalize=False)
            images = processor.postprocess(images.clamp(0, 1), call.output_type)
        return ImagePipelineOutput(images) if call.return_dict else (images,)

    def check_call(self, embeddings: Tensor) -> tuple[tuple[int, ...], StepCallbacks]:
        """Check the arguments, set the state of the call, and return the shape of its latents.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is invalid.
        """
        if self.call.prompt is None:
            raise ArgumentTypeError("prompt is missing; give a text, which may be empty")
        prompts, rows = self.check_texts(0), len(embeddings)
        if self.call.output_type != "latent":
            check_components(self, ("vqgan",))
        if rows % prompts:
            raise ArgumentError(
                f"got {prompts} prompts for {rows} image_embeddings; give one, or one for each"
            )
        config = self.decoder.config
        if embeddings.shape[1] != config.effnet_embd:
            raise ArgumentError(
                f"image_embeddings have {embeddings.shape[1]} channels and the decoder takes "
                f"{config.effnet_embd}; give what the prior of this checkpoint returns"
            )
        callbacks = self.begin(rows, prompts)
        # Every level of the network halves the latents.
        multiple = config.patch_size * 2 ** (len(config.c_hidden) - 1)
        size = (
            cells(side * self.config["latent_dim_scale"] // multiple, "the image") * multiple
            for side in embeddings.shape[2:]
        )
        shape = (rows * self.call.num_images_per_prompt, config.c_in, *size)
        self.check_shape(shape)
        return shape, callbacks

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        images = tensors["image_embeddings"]
        if self.do_classifier_free_guidance:
            images = torch.cat([torch.zeros_like(images), images])
        return {"effnet": images, "clip": tensors["text_encoder_hidden_states"]}

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        predicted: Tensor = self.decoder(
            sample, r=timestep.expand(len(sample)).to(sample.dtype), **inputs
        )
        return predicted


def joined(given: Any) -> Tensor:
    """Return embeddings as one tensor (B, C, h, w).

    Raises:
        ArgumentError: if the shapes are wrong.
        ArgumentTypeError: if they are not tensors or arrays of floats.
    """
    parts = [
        torch.from_numpy(one) if isinstance(one, np.ndarray) else one
        for one in (given if isinstance(given, (list, tuple)) else [given])
    ]
    if not parts or not all(isinstance(o, Tensor) and o.is_floating_point() for o in parts):
        raise ArgumentTypeError(
            f"image_embeddings must be what the prior returns, a tensor (B, C, h, w) of floats, "
            f"not {shown(given)}"
        )
    if any(one.ndim != 4 or one.shape[1:] != parts[0].shape[1:] or not len(one) for one in parts):
        raise ArgumentError(
            f"image_embeddings have the shapes {[tuple(one.shape) for one in parts]}; all must be "
            f"(B, C, h, w) of one size"
        )
    return torch.cat(parts)
