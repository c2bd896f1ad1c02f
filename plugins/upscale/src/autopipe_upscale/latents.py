"""Enlarges latents two times, with a network of its own that the autoencoder follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from autopipe.errors import ArgumentError, SchedulerError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.outputs import ImagePipelineOutput
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe_components.images.kinds import ImageInput
from autopipe_components.latent import LatentBesideImage
from autopipe_components.steps.callbacks import OlderCallback
from autopipe_components.steps.checks import (
    Prompt,
)
from autopipe_components.steps.codec import Generators, check_pixels, encode_images, tile
from autopipe_components.steps.given import checks_of
from autopipe_components.steps.prompt import (
    check_halves,
    check_texts,
    distinct_texts,
    embed_prompts,
    join_halves,
    text_length,
    tokenize,
)
from autopipe_components.steps.timesteps import Schedule

from .pictures import Enlarging

Result: TypeAlias = "ImagePipelineOutput | tuple[Any]"

_ENLARGEMENT = 2
_LEVEL_WIDTH = 64
"""Half the width of the embedded noise level of the image, which is always 0: ones, then zeros."""

_POOLED = "pooled_prompt_embeds negative_pooled_prompt_embeds"


class StableDiffusionLatentUpscalePipeline(Enlarging, LatentBesideImage[Result]):
    """Enlarges pictures or latents two times, guided by a prompt.

    The U-Net has `k_blocks` and is preconditioned as in "Elucidating the Design Space of
    Diffusion-Based Generative Models" (Karras et al., 2022, table 1). Autoencoder, text encoder and
    tokenizer are those of Stable Diffusion 1.x, so its latents can be given as the image.

    Args:
        vae: an `AutoencoderKL`.
        text_encoder: a `transformers.CLIPTextModel`.
        tokenizer: a `transformers.CLIPTokenizer`.
        unet: a `UNet2DConditionModel` that takes twice the channels of the latents and predicts one
            more than these, which is not used.
        scheduler: a scheduler that scales samples by their noise levels, usually an
            `EulerDiscreteScheduler`.
    """

    model_cpu_offload_seq = "text_encoder->unet->vae"
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "pooled_prompt_embeds",
        "image_latents",
    )
    output_class = ImagePipelineOutput

    # The network takes no embedded guidance scale, but other conditions in its place.
    guidance_embedding_dim = None

    text_encoder: Any
    tokenizer: Any

    check_inputs = checks_of(
        "prompt image callback_steps",
        f"negative_prompt prompt_embeds negative_prompt_embeds {_POOLED}",
    )

    def __init__(
        self,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        unet: Network,
        scheduler: Scheduler,
    ) -> None:
        self.register_modules(
            vae=vae, text_encoder=text_encoder, tokenizer=tokenizer, unet=unet, scheduler=scheduler
        )

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: ImageInput = None,  # type: ignore[assignment]
        num_inference_steps: int = 75,
        guidance_scale: float = 9.0,
        negative_prompt: Prompt | None = None,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback: OlderCallback | None = None,
        callback_steps: int = 1,
        *,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Enlarge `image` two times.

        All other parameters are those of `StableDiffusionPipeline`.

        Args:
            prompt: what the image shows; without one, it is enlarged without a text.
            image: PIL, array or tensor, a list, or latents (N, C, h, w). One per prompt, or fewer,
                which are then repeated.
            guidance_scale: as there; at 0 the prompt is ignored.
            latents: the initial noise (B, C, 2 * h, 2 * w).
            pooled_prompt_embeds, negative_pooled_prompt_embeds: pooled embeddings (B, P) of the
                prompts, required by `prompt_embeds` and `negative_prompt_embeds`.

        Returns:
            `ImagePipelineOutput`, or a tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
            SchedulerError: if the scheduler is not one that scales samples by their noise levels.
        """
        return self.run_task()

    # Steps of a call, in order

    def begin_call(self) -> int:
        call = self.call
        if call.guidance_scale == 0 and call.prompt is not None:
            single = not isinstance(call.prompt, list)
            self.call = call.replace(prompt="" if single else [""] * len(call.prompt))
        return super().begin_call()

    def check_prompts(self) -> int:
        call = self.call
        count = check_texts(call, self.unet.config)
        _check_pooled("", call.prompt_embeds, call.pooled_prompt_embeds)
        _check_pooled("negative_", call.negative_prompt_embeds, call.negative_pooled_prompt_embeds)
        return count

    def check_given_prompts(self, given: Mapping[str, Any]) -> None:
        super().check_given_prompts(given)
        for kind in ("", "negative_"):
            embeds, pooled = (given.get(f"{kind}{one}prompt_embeds") for one in ("", "pooled_"))
            _check_pooled(kind, embeds, pooled)

    def _encode_prompt(
        self,
        prompt: Prompt | None,
        device: torch.device | str | None,
        do_classifier_free_guidance: bool,
        negative_prompt: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return `encode_prompt` as two tensors; with guidance, the negative halves come first."""
        embeds, negative, pooled, negative_pooled = self.encode_prompt(
            prompt,
            device,
            do_classifier_free_guidance,
            negative_prompt,
            prompt_embeds,
            negative_prompt_embeds,
            pooled_prompt_embeds,
            negative_pooled_prompt_embeds,
        )
        if negative is None or negative_pooled is None:
            return embeds, pooled
        return join_halves(embeds, negative), join_halves(pooled, negative_pooled)

    def check_conditioning(self) -> None:
        guided = self.do_classifier_free_guidance
        check_halves(self.call, self.text_encoder, self.tokenizer, guided=guided)

    def make_schedule(self) -> Schedule:
        schedule = super().make_schedule()
        one = torch.ones(1)
        # Some have noise levels of samples that they don't scale.
        scaled = self.scheduler.scale_model_input(one, schedule.timesteps[0])
        if not hasattr(self.scheduler, "sigmas") or torch.equal(scaled, one):
            raise SchedulerError(
                f"{type(self.scheduler).__name__} doesn't scale samples by noise levels, as this "
                f"upscaler needs; use a scheduler such as EulerDiscreteScheduler"
            )
        return schedule

    def check_beside(self, pixels: Tensor) -> None:
        check_pixels(self.codec, pixels)
        super().check_beside(pixels)
        halved = 2 ** (len(self.unet.config.block_out_channels) - 1)
        multiple = max(halved * self.vae_scale_factor // _ENLARGEMENT, 1)
        height, width = (side // _ENLARGEMENT for side in self.size_beside(pixels))
        if height % multiple or width % multiple or min(height, width) < 2 * multiple:
            raise ArgumentError(
                f"the image is {height} x {width} pixels (height, width), and this upscaler needs "
                f"multiples of {multiple}, at least {2 * multiple}; resize the image"
            )

    def size_beside(self, pixels: Tensor) -> tuple[int, int]:
        height, width = self.size_in_pixels(pixels)
        return _ENLARGEMENT * height, _ENLARGEMENT * width

    def encode_prompt(
        self,
        prompt: Prompt | None,
        device: torch.device | str | None,
        do_classifier_free_guidance: bool,
        negative_prompt: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        """Return embeddings (B, K, D) of prompt and negative prompt, then pooled ones (B, D).

        Args:
            prompt, negative_prompt: a string or a list of strings.
            device: the device of the embeddings; None means that of the pipeline.
            do_classifier_free_guidance: if False, the negative prompt is not encoded.
            prompt_embeds, negative_prompt_embeds, pooled_prompt_embeds,
                negative_pooled_prompt_embeds: used in place of encoding a prompt.

        Raises:
            ArgumentError: if the prompts don't fit together.
        """
        encode = self.encoder("text_encoder", self._encode_texts)
        whole, negative = embed_prompts(
            lambda texts, _: encode(texts),
            prompt,
            negative_prompt,
            _with_pooled(prompt_embeds, pooled_prompt_embeds),
            _with_pooled(negative_prompt_embeds, negative_pooled_prompt_embeds),
            guided=do_classifier_free_guidance,
            num_images_per_prompt=1,
            device=device or self._execution_device,
            dtype=None,
        )
        if negative is None:
            return whole[:, :-1], None, whole[:, -1], None
        return whole[:, :-1], negative[:, :-1], whole[:, -1], negative[:, -1]

    def _encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Return the last hidden states, without the final norm, then the pooled one."""
        distinct, positions = distinct_texts(texts)
        with self.tokenizing(self.tokenizer):
            ids, _ = tokenize(
                self.tokenizer, distinct, text_length(self.tokenizer, self.text_encoder)
            )
            output = self.text_encoder(ids.to(self._execution_device), output_hidden_states=True)
        embeds = torch.cat((output.hidden_states[-1], output.pooler_output[:, None]), dim=1)
        return embeds[positions]

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        call, guided = self.call, self.do_classifier_free_guidance
        embeds, negative, pooled, pooled_negative = self.encode_prompt(
            call.prompt,
            None,
            guided,
            call.negative_prompt,
            call.prompt_embeds,
            call.negative_prompt_embeds,
            call.pooled_prompt_embeds,
            call.negative_pooled_prompt_embeds,
        )
        if guided and negative is not None and pooled_negative is not None:
            embeds, pooled = join_halves(embeds, negative), torch.cat((pooled_negative, pooled))
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}

    def encode_beside(self, pixels: Tensor, batch_size: int) -> Tensors:
        latents = encode_images(self.codec, pixels, self.call.generator)
        large = interpolate(latents, scale_factor=_ENLARGEMENT, mode="nearest")
        rows = batch_size * (2 if self.do_classifier_free_guidance else 1)
        return {"image_latents": tile(large, rows, "images")}

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        pooled = tensors["pooled_prompt_embeds"]
        level = pooled.new_tensor([1.0] * _LEVEL_WIDTH + [0.0] * _LEVEL_WIDTH)
        condition = torch.cat((level.expand(len(pooled), -1), pooled), dim=1)
        return {**super().denoiser_inputs(tensors), "timestep_cond": condition}

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        sigma = self.scheduler.sigmas[self.scheduler.step_index].to(sample)
        made = self.denoiser(sample, sigma.log() / 4, return_dict=False, **inputs)[0]
        scaled = sample[:, : self.codec.channels]
        # The scheduler has divided the latents by this root.
        root = (sigma**2 + 1).sqrt()
        predicted: Tensor = scaled / root + made[:, : scaled.shape[1]] * sigma / root
        return predicted


def _check_pooled(kind: str, embeds: Tensor | None, pooled: Any) -> None:
    """Check that embeddings (B, K, D), if any, have pooled ones (B, D).

    Args:
        kind: the prefix of both arguments.

    Raises:
        ArgumentError: if they have none, or of another shape.
    """
    if embeds is None:
        return
    shape = (len(embeds), embeds.shape[-1])
    if not isinstance(pooled, Tensor) or pooled.shape != shape:
        raise ArgumentError(
            f"{kind}prompt_embeds are given and need {kind}pooled_prompt_embeds, a tensor of shape "
            f"{shape}; give both as encode_prompt returns them"
        )


def _with_pooled(embeds: Tensor | None, pooled: Tensor | None) -> Tensor | None:
    """Return embeddings (B, K, D) followed by the pooled ones, (B, K + 1, D)."""
    return embeds if embeds is None or pooled is None else torch.cat((embeds, pooled[:, None]), 1)
