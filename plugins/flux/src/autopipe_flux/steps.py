"""The steps that all tasks of the family share: components, prompts, and the prediction."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.loop import Tensors
from autopipe_components.adapter_scale import adapters_scaled
from autopipe_components.dit import grid_positions
from autopipe_components.latent import FlowPipeline, PackedLatents
from autopipe_components.steps.checks import (
    Prompt,
    check_number,
    check_prompt,
    check_text,
    check_whole,
)
from autopipe_components.steps.flow import flow_time
from autopipe_components.steps.guidance import guide
from autopipe_components.steps.pooled import (
    SIGNS,
    PooledPrompts,
    PromptArguments,
    encode_pooled,
    encode_states,
)
from autopipe_components.steps.prompt import check_encoder, join_halves

from .output import FluxPipelineOutput, Result
from .transformer import FluxTransformer2DModel

FURTHER = (
    "negative_prompt negative_prompt_2 prompt_embeds negative_prompt_embeds pooled_prompt_embeds "
    "negative_pooled_prompt_embeds callback_on_step_end_tensor_inputs"
)
"""What `check_inputs` of every task takes."""

LONGEST = 512
"""The largest number of tokens of a prompt."""

_CELLS = 128
"""Height and width of the latents that the networks were trained with."""


class FluxSteps(PackedLatents[Result], FlowPipeline[Result]):
    """The components of Flux.1, and the steps that all tasks share.

    Args:
        scheduler: a scheduler of flows, such as `FlowMatchEulerDiscreteScheduler`.
        vae: an `AutoencoderKL`.
        text_encoder, tokenizer: a `transformers.CLIPTextModel` and its `CLIPTokenizer`.
        text_encoder_2, tokenizer_2: a `transformers.T5EncoderModel` and its `T5Tokenizer`.
        transformer: a `FluxTransformer2DModel`.
        image_encoder, feature_extractor: for add-ons that take image prompts.
    """

    model_cpu_offload_seq = "text_encoder->text_encoder_2->image_encoder->transformer->vae"
    _optional_components = ("image_encoder", "feature_extractor")
    output_class = FluxPipelineOutput
    required_components = ("transformer", "scheduler")
    rounds_size = True
    starts_pure: ClassVar[bool] = False
    given_size_multiple = 1

    transformer: FluxTransformer2DModel
    text_encoder: Any
    text_encoder_2: Any
    tokenizer: Any
    tokenizer_2: Any

    _guidance_scale: float = 3.5
    _true_cfg_scale: float = 1.0
    _is_guided: bool = False

    def __init__(
        self,
        scheduler: Scheduler,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        text_encoder_2: Network,
        tokenizer_2: Processor,
        transformer: Network,
        image_encoder: Network = None,
        feature_extractor: Processor = None,
    ) -> None:
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            text_encoder_2=text_encoder_2,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer_2,
            transformer=transformer,
            scheduler=scheduler,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
        )

    # The network, and how it is guided

    @property
    def denoiser(self) -> Any:
        return self.transformer

    @property
    def default_sample_size(self) -> int:
        """The height of latents of the default size."""
        return _CELLS

    def trained_size(self) -> tuple[int, int]:
        return _CELLS, _CELLS

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether each step also predicts with the negative prompt.

        So it is with a negative prompt and a `true_cfg_scale` above 1. The guidance scale is an
        input of the network, or of no effect.
        """
        return self._is_guided

    # Steps of a call, in order

    def check_prompts(self) -> int:
        call = self.call
        given = self._prompts()
        names = ("prompt", "prompt_embeds", "negative_prompt", "negative_prompt_embeds")
        check_prompt(*(given[name] for name in names))
        scale, length = call.true_cfg_scale, call.max_sequence_length
        check_number("true_cfg_scale", scale)
        check_whole("max_sequence_length", length)
        if not 1 <= length <= LONGEST:
            raise ArgumentError(f"max_sequence_length is {length}; give 1 to {LONGEST}")
        self._true_cfg_scale = scale
        self._is_guided = scale > 1 and PooledPrompts.of(given, "negative_").is_given
        return PooledPrompts.of(given).count

    def check_conditioning(self) -> None:
        call, config = self.call, self.transformer.config
        pictures = {
            "negative_ip_adapter_image": call.get("negative_ip_adapter_image"),
            "negative_ip_adapter_image_embeds": call.get("negative_ip_adapter_image_embeds"),
        }
        for name, picture in pictures.items():
            if picture is not None:
                raise ArgumentError(
                    f"{name} is given, but no attached add-on takes image prompts; leave it out"
                )
        given = self._prompts()
        for sign in SIGNS[: 1 + self._is_guided]:
            prompts = PooledPrompts.of(given, sign)
            prompts.check(config.joint_attention_dim, config.pooled_projection_dim)
            if prompts.embeds is None:
                self._check_encoders()
        lengths = {
            call.max_sequence_length if embeds is None else embeds.shape[1]
            for embeds in (given["prompt_embeds"], given["negative_prompt_embeds"])
        }
        if self._is_guided and len(lengths) > 1:
            raise ArgumentError(
                f"the prompt and the negative prompt have {' and '.join(map(str, lengths))} "
                f"tokens; give both as embeddings of one length, or that as max_sequence_length"
            )

    def _prompts(self) -> dict[str, Any]:
        """Return the arguments of the call that are prompts, by name."""
        return vars(PromptArguments.of(self.call))

    def _check_encoders(self) -> None:
        """Check that there are both text encoders, and that their states fit the network."""
        config = self.transformer.config
        for name, entry in (
            ("text_encoder", "pooled_projection_dim"),
            ("text_encoder_2", "joint_attention_dim"),
        ):
            encoder = getattr(self, name)
            check_encoder(encoder, getattr(self, name.replace("text_encoder", "tokenizer")))
            made, read = encoder.config.hidden_size, config[entry]
            if made != read:
                raise ArgumentError(
                    f"{name} gives embeddings of the width {made}, and the transformer takes "
                    f"{read}; load the text encoders of this checkpoint"
                )

    def encode_prompt(
        self,
        prompt: Prompt | None,
        prompt_2: Prompt | None = None,
        device: torch.device | str | None = None,
        num_images_per_prompt: int = 1,
        prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        max_sequence_length: int = LONGEST,
        lora_scale: float | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return embeddings (B, K, D), pooled ones (B, P), and the positions of the tokens (K, 3).

        Args:
            prompt, prompt_2: for CLIP, and for T5, which has the first by default.
            device: of the embeddings; None means that of the pipeline.
            num_images_per_prompt: how often each prompt is repeated.
            prompt_embeds, pooled_prompt_embeds: used in place of texts.
            max_sequence_length: the number of tokens for T5.
            lora_scale: by what the strengths of LoRAs are multiplied, outside a call.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is not valid.
        """
        check_prompt(prompt, prompt_embeds)
        given = PromptArguments(
            prompt,
            prompt_2,
            prompt_embeds=prompt_embeds,
            pooled_prompt_embeds=pooled_prompt_embeds,
        )
        prompts = PooledPrompts.of(vars(given))
        config = self.transformer.config
        prompts.check(config.joint_attention_dim, config.pooled_projection_dim)
        with adapters_scaled(lora_scale):
            embeds, pooled = self._embedded(prompts, max_sequence_length, device)
        repeated = (one.repeat_interleave(num_images_per_prompt, dim=0) for one in (embeds, pooled))
        embeds, pooled = repeated
        return embeds, pooled, text_positions(embeds)

    def _embedded(
        self, prompts: PooledPrompts, length: int, device: torch.device | str | None = None
    ) -> tuple[Tensor, Tensor]:
        device = self._execution_device if device is None else device
        if prompts.embeds is not None and prompts.pooled is not None:
            return prompts.embeds.to(device), prompts.pooled.to(device)
        self._check_encoders()
        pooled = partial(encode_pooled, self.tokenizer, self.text_encoder)
        states = partial(encode_states, self.tokenizer_2, self.text_encoder_2)
        first, second = prompts.spread()
        # CLIP's vector comes first, in which order dropout of a network in training draws.
        vector = self.encoder("text_encoder", pooled)(first, device=device)
        return self.encoder("text_encoder_2", states)(second, device=device, length=length), vector

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        call, given, found = self.call, self._prompts(), {}
        for sign in SIGNS[: 1 + self._is_guided]:
            both = self._embedded(PooledPrompts.of(given, sign), call.max_sequence_length)
            names = (f"{sign}prompt_embeds", f"{sign}pooled_prompt_embeds")
            for name, one in zip(names, both):
                found[name] = one.repeat_interleave(call.num_images_per_prompt, dim=0)
        return found

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        names = ("prompt_embeds", "pooled_prompt_embeds")
        text, pooled = (
            join_halves(tensors[one], tensors[f"negative_{one}"])
            if self._is_guided
            else tensors[one]
            for one in names
        )
        return {"encoder_hidden_states": text, "pooled_projections": pooled}

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        if self.transformer.config.guidance_embeds:
            guidance = torch.full((len(sample),), float(self.guidance_scale), device=sample.device)
        cells = (1, *(side // self.size_unit for side in self.image_size))
        predicted: Tensor = self.transformer(
            sample,
            timestep=flow_time(timestep, sample),
            guidance=guidance,
            img_ids=grid_positions(cells, device=sample.device),
            txt_ids=text_positions(inputs["encoder_hidden_states"]),
            joint_attention_kwargs=self.joint_attention_kwargs,
            return_dict=False,
            **inputs,
        )[0]
        return predicted

    def apply_guidance(self, prediction: Tensor, further: Tensor | None = None) -> Tensor:
        return guide(prediction, self._true_cfg_scale, further=further)

    def check_given_prompts(self, given: Mapping[str, Any]) -> None:
        super().check_given_prompts(given)
        for name in ("prompt_2", "negative_prompt_2"):
            check_text(name, given.get(name))


def text_positions(embeds: Tensor) -> Tensor:
    """Return the positions of the tokens of a text, (K, 3): all at the origin."""
    return torch.zeros(embeds.shape[1], 3, device=embeds.device, dtype=embeds.dtype)
