"""The steps that all tasks of the family share: components, prompt, sizes and output.

The tasks of `autopipe_components.latent` call these steps; nothing here depends on a task.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.loop import Tensors
from autopipe.wording import logger
from autopipe_components.adapter_scale import adapters_scaled
from autopipe_components.steps.checks import Prompt, check_part, check_width
from autopipe_components.steps.prompt import check_clip_skip
from autopipe_components.steps.timesteps import Schedule, stop_at

from .methods import StableDiffusionXLMethods
from .output import StableDiffusionXLPipelineOutput
from .prompt import Prompts, embed, encode_text
from .sizes import Ids, Sizes, check_ids, ids_of_noise
from .watermark import StableDiffusionXLWatermarker, can_watermark

_log = logger(__name__)


class StableDiffusionXLSteps(StableDiffusionXLMethods):
    """The components of Stable Diffusion XL, and the steps that all tasks share.

    Args:
        vae: an `AutoencoderKL`.
        text_encoder: a `transformers.CLIPTextModel`; refiners have none.
        text_encoder_2: a `transformers.CLIPTextModelWithProjection`.
        tokenizer, tokenizer_2: a `transformers.CLIPTokenizer` for each.
        unet: a `UNet2DConditionModel` with `addition_embed_type` "text_time".
        scheduler: any scheduler.
        image_encoder, feature_extractor: for add-ons that take image prompts.
        force_zeros_for_empty_prompt: whether a missing negative prompt means zeros instead of the
            embedding of an empty string.
        add_watermarker: whether to add the invisible watermark to images; by default if the
            package `invisible-watermark` is installed.

    Raises:
        ArgumentError: if the watermark is requested and its package is not installed.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->image_encoder->unet->vae"
    _optional_components = (
        "tokenizer",
        "tokenizer_2",
        "text_encoder",
        "text_encoder_2",
        "image_encoder",
        "feature_extractor",
    )
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "add_text_embeds",
        "add_time_ids",
    )
    encodes_tokens = True
    upcasts_vae = True
    output_class = StableDiffusionXLPipelineOutput

    text_encoder: Any
    text_encoder_2: Any
    tokenizer: Any
    tokenizer_2: Any
    image_encoder: Any
    feature_extractor: Any
    watermark: StableDiffusionXLWatermarker | None

    _guidance_scale: float = 5.0
    _denoising_start: float | None = None
    _denoising_end: float | None = None

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        text_encoder_2: Network,
        tokenizer: Processor,
        tokenizer_2: Processor,
        unet: Network,
        scheduler: Scheduler,
        image_encoder: Network = None,
        feature_extractor: Processor = None,
        force_zeros_for_empty_prompt: bool = True,
        add_watermarker: bool | None = None,
    ) -> None:
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            text_encoder_2=text_encoder_2,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer_2,
            unet=unet,
            scheduler=scheduler,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
        )
        self.register_to_config(
            force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
            add_watermarker=add_watermarker,
        )
        wanted = can_watermark() if add_watermarker is None else add_watermarker
        self.watermark = StableDiffusionXLWatermarker() if wanted else None

    # State of a call

    @property
    def denoising_start(self) -> float | None:
        """The part of the noise that another model has already removed from the latents."""
        return self._denoising_start

    @property
    def denoising_end(self) -> float | None:
        """The part of the noise after which this call stops and another model continues."""
        return self._denoising_end

    # Steps of a call, in order

    @property
    def _prompts(self) -> Prompts:
        """The prompts of the call."""
        return Prompts.of(self.call)

    @property
    def _sizes(self) -> Sizes:
        """The micro-conditioning of the call."""
        return Sizes.of(self.call)

    def check_prompts(self) -> int:
        return self._prompts.check()

    def check_conditioning(self) -> None:
        prompts, sizes = self._prompts, self._sizes
        self._set_denoising(self.call.get("denoising_start"), self.call.get("denoising_end"))
        sizes.check()
        width = self.unet.config.cross_attention_dim
        check_width("prompt_embeds", prompts.prompt_embeds, width)
        check_width("negative_prompt_embeds", prompts.negative_prompt_embeds, width)
        self._check_encoders(
            prompts, guided=self.do_classifier_free_guidance, clip_skip=self.clip_skip
        )
        if self._zeros_for(prompts) and prompts.negative_prompt_2 is not None:
            _log.warning(
                "negative_prompt_2 is ignored without negative_prompt, because this checkpoint "
                "then uses zeros (force_zeros_for_empty_prompt)"
            )
        pooled = prompts.pooled_prompt_embeds
        width = self.text_encoder_2.config.projection_dim if pooled is None else pooled.shape[-1]
        check_ids(self.unet.config, len(self._size_ids(sizes, 8, 8)[0]), width)
        if prompts.prompt is not None:
            self._check_width()

    def _check_width(self) -> None:
        """Check that the text encoders fit the U-Net.

        Raises:
            ArgumentError: if the width of their embeddings differs from that of the U-Net.
        """
        made = sum(encoder.config.hidden_size for _, encoder in self._encoders.values())
        read = self.unet.config.cross_attention_dim
        if made != read:
            raise ArgumentError(
                f"the embeddings of {' and '.join(self._encoders)} have the width {made}, but the "
                f"U-Net needs {read}: only refiners lack text_encoder; load the text encoders of "
                f"this checkpoint"
            )

    def _check_encoders(self, prompts: Prompts, *, guided: bool, clip_skip: int | None) -> None:
        """Check that the texts of a call can be encoded.

        Raises:
            ArgumentError: if an encoder is missing, or `clip_skip` is too large.
            ArgumentTypeError: if `clip_skip` is not an integer.
        """
        encodes_negative = prompts.negative_prompt_embeds is None and not self._zeros_for(prompts)
        if prompts.prompt is None and not (guided and encodes_negative):
            return
        if self.text_encoder_2 is None or None in [one for one, _ in self._encoders.values()]:
            raise ArgumentError(
                "this pipeline lacks a text encoder or its tokenizer, so it can't encode prompts; "
                "give prompt_embeds and pooled_prompt_embeds and, with guidance, the negative ones"
            )
        for _, encoder in self._encoders.values():
            check_clip_skip(clip_skip, encoder.config.num_hidden_layers - 1)

    def _set_denoising(self, start: float | None, end: float | None) -> None:
        """Set the part of the noise that this call removes.

        Raises:
            ArgumentError: if they are out of range, or in the wrong order.
            ArgumentTypeError: if they are not numbers.
        """
        # As in the reference implementation, an end of 0 or 1 is ignored.
        end = None if end in (0, 1) else end
        check_part(start, end, names=("denoising_start", "denoising_end"))
        self._denoising_start, self._denoising_end = start, end

    def trim_end(self, schedule: Schedule) -> Schedule:
        end = self.denoising_end
        return schedule if end is None else stop_at(self.scheduler, schedule, end)

    @property
    def _encoders(self) -> dict[str, tuple[Any, Any]]:
        """The pairs (tokenizer, text encoder) that are present, by the encoder's name."""
        both = {
            "text_encoder": (self.tokenizer, self.text_encoder),
            "text_encoder_2": (self.tokenizer_2, self.text_encoder_2),
        }
        return {name: pair for name, pair in both.items() if pair[1] is not None}

    def encode_prompt(
        self,
        prompt: Prompt | None = None,
        prompt_2: Prompt | None = None,
        device: torch.device | str | None = None,
        num_images_per_prompt: int = 1,
        do_classifier_free_guidance: bool = True,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        lora_scale: float | None = None,
        clip_skip: int | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        """Return embeddings (B, K, D) of prompt and negative prompt, then pooled ones (B, P).

        Each is repeated for each image. Without guidance, negative ones are None unless given.

        Args:
            prompt, prompt_2, negative_prompt, negative_prompt_2: see `Prompts`.
            device: the device of the embeddings; None means that of the pipeline.
            num_images_per_prompt: the number of repetitions of each prompt.
            prompt_embeds, negative_prompt_embeds, pooled_prompt_embeds,
                negative_pooled_prompt_embeds: used in place of encoding a prompt.
            lora_scale: by what the strengths of LoRAs are multiplied, outside a call.
            clip_skip: the number of additional layers to skip for the prompt.

        Raises:
            ArgumentError: if the prompts don't fit together.
            ArgumentTypeError: if a prompt has the wrong type.
        """
        prompts = Prompts(
            prompt,
            prompt_2,
            negative_prompt,
            negative_prompt_2,
            prompt_embeds,
            negative_prompt_embeds,
            pooled_prompt_embeds,
            negative_pooled_prompt_embeds,
        )
        prompts.check()
        self._check_encoders(prompts, guided=do_classifier_free_guidance, clip_skip=clip_skip)
        device = self._execution_device if device is None else device
        dtype = (self.unet if self.text_encoder_2 is None else self.text_encoder_2).dtype
        encoders = [self.encoder(n, partial(encode_text, *p)) for n, p in self._encoders.items()]
        with adapters_scaled(lora_scale):
            embeddings = embed(
                prompts,
                encoders,
                device=device,
                guided=do_classifier_free_guidance,
                zeros=self._zeros_for(prompts),
                clip_skip=clip_skip,
            )

        def repeated(tensor: Tensor | None) -> Any:
            if tensor is None:
                return None
            return tensor.to(device, dtype).repeat_interleave(num_images_per_prompt, dim=0)

        embeds, negative, pooled, negative_pooled = map(repeated, embeddings)
        return embeds, negative, pooled, negative_pooled

    def _zeros_for(self, prompts: Prompts) -> bool:
        """Whether the negative prompt is zeros, as this checkpoint was trained."""
        return prompts.negative_prompt is None and self.options["force_zeros_for_empty_prompt"]

    def _size_ids(self, sizes: Sizes, height: int, width: int) -> tuple[Ids, Ids]:
        """Return the size ids of the negative and the positive half for an image in pixels."""
        return ids_of_noise(sizes, height, width)

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        guided = self.do_classifier_free_guidance
        embeds, negative, pooled, pooled_negative = self.encode_prompt(
            num_images_per_prompt=self.call.num_images_per_prompt,
            do_classifier_free_guidance=guided,
            clip_skip=self.clip_skip,
            **vars(self._prompts),
        )
        negative_ids, ids = (
            embeds.new_tensor([one]).repeat(len(embeds), 1)
            for one in self._size_ids(self._sizes, height, width)
        )
        if guided:
            assert negative is not None
            assert pooled_negative is not None
            if negative.shape != embeds.shape or pooled_negative.shape != pooled.shape:
                raise ArgumentError(
                    f"the negative embeddings have the shapes {tuple(negative.shape)} and "
                    f"{tuple(pooled_negative.shape)} (pooled), but those of the prompt "
                    f"{tuple(embeds.shape)} and {tuple(pooled.shape)}; they must be equal"
                )
            embeds = torch.cat([negative, embeds])
            pooled = torch.cat([pooled_negative, pooled])
            ids = torch.cat([negative_ids, ids])
        return {"prompt_embeds": embeds, "add_text_embeds": pooled, "add_time_ids": ids}

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        added = {"text_embeds": tensors["add_text_embeds"], "time_ids": tensors["add_time_ids"]}
        return {**super().denoiser_inputs(tensors), "added_cond_kwargs": added}

    def output_values(self, pixels: Tensor, dtype: torch.dtype) -> tuple[Any, ...]:
        if self.watermark is not None:
            pixels = self.watermark.apply_watermark(pixels)
        return super().output_values(pixels, dtype)
