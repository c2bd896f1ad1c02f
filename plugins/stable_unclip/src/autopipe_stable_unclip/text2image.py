"""Text to image: a prior converts the prompt to the embedding of an image first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors, accepted_options, denoise
from autopipe.tasks import Text2Image
from autopipe_components.embedding_prior import (
    TEXT_TENSORS,
    encode_pooled,
    prior_predictor,
    repeated_texts,
    text_tensors,
)
from autopipe_components.latent import LatentText2Image
from autopipe_components.steps.callbacks import OlderCallback, older_callback
from autopipe_components.steps.checks import Prompt, check_components, check_guidance, check_steps
from autopipe_components.steps.codec import Generators, in_dtype_of
from autopipe_components.steps.given import TEXTS, checks_of
from autopipe_components.steps.text2image import check_latents, start_from_noise
from autopipe_components.steps.timesteps import set_schedule

from .steps import Result, StableUnCLIPSteps

_PRIOR = ("prior_tokenizer", "prior_text_encoder", "prior", "prior_scheduler")


class StableUnCLIPPipeline(StableUnCLIPSteps, LatentText2Image[Result], Text2Image):
    """Text to image with Stable unCLIP: a prior imagines an image embedding, which is drawn.

    Args:
        prior_tokenizer: a `transformers.CLIPTokenizer`.
        prior_text_encoder: a `transformers.CLIPTextModelWithProjection`.
        prior: a `PriorTransformer`.
        prior_scheduler: any scheduler, for the prior.
        image_normalizer: a `StableUnCLIPImageNormalizer`.
        image_noising_scheduler: any scheduler that adds noise, for the image embedding.
        tokenizer: a `transformers.CLIPTokenizer`.
        text_encoder: a `transformers.CLIPTextModel`.
        unet: a `UNet2DConditionModel` that takes image embeddings as class labels.
        scheduler: any scheduler.
        vae: an `AutoencoderKL`.
    """

    model_cpu_offload_seq = "prior_text_encoder->prior->text_encoder->unet->vae"

    # The prior takes the tokens of one text.
    encodes_tokens = False

    prior_tokenizer: Any
    prior_text_encoder: Any
    prior: Any
    prior_scheduler: Any

    check_inputs = checks_of("prompt height width callback_steps noise_level", TEXTS)

    def __init__(
        self,
        prior_tokenizer: Processor,
        prior_text_encoder: Network,
        prior: Network,
        prior_scheduler: Scheduler,
        image_normalizer: Network,
        image_noising_scheduler: Scheduler,
        tokenizer: Processor,
        text_encoder: Network,
        unet: Network,
        scheduler: Scheduler,
        vae: Network,
    ) -> None:
        self.register_modules(
            prior_tokenizer=prior_tokenizer,
            prior_text_encoder=prior_text_encoder,
            prior=prior,
            prior_scheduler=prior_scheduler,
            image_normalizer=image_normalizer,
            image_noising_scheduler=image_noising_scheduler,
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            unet=unet,
            scheduler=scheduler,
            vae=vae,
        )

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 20,
        guidance_scale: float = 10.0,
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
        noise_level: int = 0,
        prior_num_inference_steps: int = 25,
        prior_guidance_scale: float = 4.0,
        prior_latents: Tensor | None = None,
        clip_skip: int | None = None,
        *,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt`.

        All other parameters are those of `StableDiffusionPipeline`. `callback` is also called in
        the steps of the prior, `callback_on_step_end` is not.

        Args:
            prompt: a string, or a list of strings. It is required: the prior reads texts only.
            noise_level: how much noise to add to the image embedding, a training timestep of
                `image_noising_scheduler`; more gives freer images.
            prior_num_inference_steps: the number of steps of the prior.
            prior_guidance_scale: how closely the embedding follows the prompt; guidance is off at 1
                and below.
            prior_latents: the initial noise (B, D) of the prior; by default it is sampled.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        return self.run_task()

    # Steps of a call, in order

    def check_given_arguments(self, given: Mapping[str, Any]) -> None:
        super().check_given_arguments(given)
        self._check_noise_level(given["noise_level"])

    def check_conditioning(self) -> None:
        super().check_conditioning()
        call = self.call
        check_components(self, _PRIOR)
        if call.prompt is None:
            raise ArgumentError(
                "prompt_embeds can't be drawn without a prompt, since the prior reads texts; give "
                "prompt"
            )
        self._check_source("prior", self.prior.config.embedding_dim)
        check_steps(call.prior_num_inference_steps)
        check_guidance(call.prior_guidance_scale)
        if call.prior_latents is not None:
            check_latents(call.prior_latents, (self._batch_size, self.prior.config.embedding_dim))

    @property
    def _batch_size(self) -> int:
        prompt = self.call.prompt
        prompts = 1 if isinstance(prompt, str) else len(prompt)
        return int(prompts * self.call.num_images_per_prompt)

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        embeds = self.run_prior()
        tensors = super().encode_conditioning(height, width)
        return self.see_image(tensors, embeds, len(embeds))

    def run_prior(self) -> Tensor:
        """Return the image embeddings (B, D) of the prompts of the call."""
        call, scheduler, device = self.call, self.prior_scheduler, self._execution_device
        schedule = set_schedule(
            scheduler, num_inference_steps=call.prior_num_inference_steps, device=device
        )
        guided = call.prior_guidance_scale > 1

        def scale() -> float | None:
            return call.prior_guidance_scale if guided else None

        encoded = self._encode_prior_prompt(call.prompt, device, call.num_images_per_prompt, guided)
        tensors: Tensors = in_dtype_of(self.prior, dict(zip(TEXT_TENSORS, encoded)))
        tensors["latents"] = start_from_noise(
            (self._batch_size, self.prior.config.embedding_dim),
            generator=call.generator,
            dtype=tensors["prompt_embeds"].dtype,
            device=device,
            init_noise_sigma=scheduler.init_noise_sigma,
            latents=call.prior_latents,
        )
        latents = denoise(
            self,
            tensors,
            prior_predictor(self.prior, scheduler, tensors, scale),
            timesteps=schedule.timesteps,
            steps=schedule.steps,
            scheduler=scheduler,
            step_options=self.prepare_prior_extra_step_kwargs(call.generator, call.eta),
            on_step=older_callback(call.callback, call.callback_steps, scheduler.order),
        )
        embeds: Tensor = self.prior.post_process_latents(latents)
        return embeds

    def _encode_prior_prompt(
        self,
        prompt: Prompt | None,
        device: torch.device | str,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
        text_model_output: Any = None,
        text_attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return pooled texts (B, P), states (B, K, D) and mask (B, K), empty texts first.

        Args:
            text_model_output, text_attention_mask: used in place of encoding `prompt`.
        """

        def encode(texts: list[str]) -> tuple[Tensor, Tensor, Tensor]:
            with self.tokenizing(self.prior_tokenizer):
                return encode_pooled(self.prior_tokenizer, self.prior_text_encoder, texts, device)

        def encoded(texts: list[str]) -> tuple[Tensor, ...]:
            encoder = self.encoder("prior_text_encoder", encode)
            return tuple(text_tensors(encoder, texts, num_images_per_prompt).values())

        prompts = [prompt] if isinstance(prompt, str) else prompt or []
        count = len(prompts) if text_model_output is None else len(text_model_output[0])
        empty = [""] * count if do_classifier_free_guidance else []
        if text_model_output is None:
            pooled, states, mask = encoded([*empty, *prompts])
            return pooled, states, mask
        if text_attention_mask is None:
            raise ArgumentError("text_model_output needs its mask; give text_attention_mask too")
        given = (text_model_output[0], text_model_output[1], text_attention_mask)
        return repeated_texts(given, num_images_per_prompt, device, encoded(empty) if empty else ())

    def prepare_prior_extra_step_kwargs(self, generator: Generators, eta: float) -> dict[str, Any]:
        """Return those of `generator` and `eta` that the prior's scheduler accepts."""
        return accepted_options(self.prior_scheduler, eta=eta, generator=generator)
