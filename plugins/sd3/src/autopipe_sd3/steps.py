"""The steps that all tasks of the family share: components, prompts, sizes and the prediction.

The tasks of `autopipe_components.latent` call these steps; nothing here depends on a task.
"""

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
from autopipe_components.latent import FlowPipeline
from autopipe_components.steps.checks import Prompt, check_at_least_one, check_width
from autopipe_components.steps.prompt import check_clip_skip, join_halves, text_length

from .output import Result, StableDiffusion3PipelineOutput
from .prompt import SIGNS, Prompts, embed_texts, encode_clip, encode_t5

GIVEN = (
    "negative_prompt negative_prompt_2 negative_prompt_3 prompt_embeds negative_prompt_embeds "
    "pooled_prompt_embeds negative_pooled_prompt_embeds callback_on_step_end_tensor_inputs "
    "max_sequence_length"
)
"""The optional parameters of `check_inputs`."""

MOST_TOKENS = 512
"""The largest `max_sequence_length`."""

_CLIPS = ("text_encoder", "text_encoder_2")


class StableDiffusion3Steps(FlowPipeline[Result]):
    """The components of Stable Diffusion 3 (arXiv:2403.03206), and the steps that all tasks share.

    Args:
        transformer: an `SD3Transformer2DModel`.
        scheduler: a `FlowMatchEulerDiscreteScheduler`, or another one of flows.
        vae: an `AutoencoderKL`.
        text_encoder, text_encoder_2: a `transformers.CLIPTextModelWithProjection` each.
        tokenizer, tokenizer_2: a `transformers.CLIPTokenizer` each.
        text_encoder_3: a `transformers.T5EncoderModel`; without it zeros stand for its states.
        tokenizer_3: a `transformers.T5Tokenizer`.
        image_encoder, feature_extractor: for add-ons that take image prompts.
    """

    model_cpu_offload_seq = (
        "text_encoder->text_encoder_2->text_encoder_3->image_encoder->transformer->vae"
    )
    _optional_components = (
        "text_encoder",
        "tokenizer",
        "text_encoder_2",
        "tokenizer_2",
        "text_encoder_3",
        "tokenizer_3",
        "image_encoder",
        "feature_extractor",
    )
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "pooled_prompt_embeds",
        "negative_prompt_embeds",
        "negative_pooled_prompt_embeds",
    )
    output_class = StableDiffusion3PipelineOutput
    required_components = ("transformer", "scheduler")
    resizes_image = True
    # The scheduler of the checkpoints was tuned with levels that it shifts itself.
    even_levels = False
    negative_halves: ClassVar[Mapping[str, str]] = {
        "negative_prompt_embeds": "prompt_embeds",
        "negative_pooled_prompt_embeds": "pooled_prompt_embeds",
    }

    transformer: Any
    text_encoder: Any
    text_encoder_2: Any
    text_encoder_3: Any
    tokenizer: Any
    tokenizer_2: Any
    tokenizer_3: Any

    _guidance_scale: float = 7.0

    def __init__(
        self,
        transformer: Network,
        scheduler: Scheduler,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        text_encoder_2: Network,
        tokenizer_2: Processor,
        text_encoder_3: Network,
        tokenizer_3: Processor,
        image_encoder: Network = None,
        feature_extractor: Processor = None,
    ) -> None:
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            text_encoder_2=text_encoder_2,
            text_encoder_3=text_encoder_3,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer_2,
            tokenizer_3=tokenizer_3,
            transformer=transformer,
            scheduler=scheduler,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
        )

    # The network and its sizes

    @property
    def denoiser(self) -> Any:
        return self.transformer

    @property
    def default_sample_size(self) -> int:
        """The training height of the transformer, in latent cells."""
        return self.trained_size()[0]

    @property
    def patch_size(self) -> int:
        """The height and width of a patch, in latent cells."""
        return int(self.transformer.config.patch_size)

    @property
    def tokenizer_max_length(self) -> int:
        """The number of tokens that both CLIP encoders read."""
        pairs = [(self.tokenizer, self.text_encoder), (self.tokenizer_2, self.text_encoder_2)]
        return min(text_length(*pair) for pair in pairs)

    @property
    def size_unit(self) -> int:
        return self.vae_scale_factor * self.patch_size

    @property
    def given_size_multiple(self) -> int:  # type: ignore[override]  # that of the network
        return self.size_unit

    # Steps of a call, in order

    @property
    def _prompts(self) -> Prompts:
        """The prompts of the call."""
        return Prompts.of(self.call)

    def check_prompts(self) -> int:
        return self._prompts.check()

    def check_given_prompts(self, given: Mapping[str, Any]) -> None:
        Prompts.of(given).check()
        if given["max_sequence_length"] is not None:
            self._check_length(given["max_sequence_length"])

    def check_conditioning(self) -> None:
        prompts, guided = self._prompts, self.do_classifier_free_guidance
        self._check_length(self.call.max_sequence_length)
        for sign in SIGNS:
            self._check_widths(sign, *prompts.embeddings(sign))
        if prompts.prompt is not None or (guided and prompts.negative_prompt_embeds is None):
            self._check_encoders(self.clip_skip)

    def _check_length(self, length: int) -> None:
        """Check `max_sequence_length`.

        Raises:
            ArgumentError, ArgumentTypeError: if it is not a whole number from 1 to 512.
        """
        check_at_least_one("max_sequence_length", length)
        if length > MOST_TOKENS:
            raise ArgumentError(f"max_sequence_length is {length}; give {MOST_TOKENS} at most")

    def _check_widths(self, sign: str, embeds: Tensor | None, pooled: Tensor | None) -> None:
        config = self.transformer.config
        check_width(f"{sign}prompt_embeds", embeds, config.joint_attention_dim)
        check_width(f"{sign}pooled_prompt_embeds", pooled, config.pooled_projection_dim)

    def _check_encoders(self, clip_skip: int | None) -> None:
        """Check that texts can be encoded, and that the transformer takes the result.

        Raises:
            ArgumentError: if a CLIP encoder is missing, T5 has no tokenizer, a width doesn't fit,
                or `clip_skip` is too large.
            ArgumentTypeError: if `clip_skip` is not a whole number.
        """
        names = [name.replace("text_encoder", "tokenizer") for name in _CLIPS]
        absent = [name for name in (*_CLIPS, *names) if getattr(self, name) is None]
        if self.text_encoder_3 is not None and self.tokenizer_3 is None:
            absent.append("tokenizer_3")
        if absent:
            raise ArgumentError(
                f"this pipeline has no {' and no '.join(absent)}, so it can't encode prompts; give "
                f"prompt_embeds and pooled_prompt_embeds and, with guidance, the negative ones"
            )
        config = self.transformer.config
        clips = [getattr(self, name).config for name in _CLIPS]
        wide = sum(one.hidden_size for one in clips)
        pooled = sum(one.projection_dim for one in clips)
        t5 = self.text_encoder_3
        made = config.joint_attention_dim if t5 is None else t5.config.d_model
        if not (wide <= made == config.joint_attention_dim):
            raise ArgumentError(
                f"the text encoders make embeddings of the widths {wide} (CLIP) and {made} (T5), "
                f"but the transformer takes {config.joint_attention_dim}; load the text encoders "
                f"of this checkpoint"
            )
        if pooled != config.pooled_projection_dim:
            raise ArgumentError(
                f"the CLIP encoders make pooled embeddings of the width {pooled}, but the "
                f"transformer takes {config.pooled_projection_dim}; load the text encoders of this "
                f"checkpoint"
            )
        for one in clips:
            check_clip_skip(clip_skip, one.num_hidden_layers - 1)

    def set_size(self, batch_size: int, height: int, width: int) -> None:
        super().set_size(batch_size, height, width)
        most = self.transformer.config.pos_embed_max_size * self.size_unit
        if max(height, width) > most:
            raise ArgumentError(
                f"height and width are {height} and {width}; this transformer has positions for "
                f"{most} pixels along each axis, so give {most} at most"
            )

    def encode_prompt(
        self,
        prompt: Prompt | None,
        prompt_2: Prompt | None,
        prompt_3: Prompt | None,
        device: torch.device | str | None = None,
        num_images_per_prompt: int = 1,
        do_classifier_free_guidance: bool = True,
        negative_prompt: Prompt | None = None,
        negative_prompt_2: Prompt | None = None,
        negative_prompt_3: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        pooled_prompt_embeds: Tensor | None = None,
        negative_pooled_prompt_embeds: Tensor | None = None,
        clip_skip: int | None = None,
        max_sequence_length: int = 256,
        lora_scale: float | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
        """Return embeddings (B, K, D) of prompt and negative prompt, then pooled ones (B, P).

        Each is repeated for each image. Without guidance, negative ones are None unless given.

        Args:
            prompt, prompt_2, prompt_3, negative_prompt, negative_prompt_2, negative_prompt_3,
                prompt_embeds, negative_prompt_embeds, pooled_prompt_embeds,
                negative_pooled_prompt_embeds: see `Prompts`.
            device: the device of the embeddings; None means that of the pipeline.
            num_images_per_prompt: the number of repetitions of each prompt.
            do_classifier_free_guidance: whether to encode negative prompts.
            clip_skip: the number of additional layers of CLIP to skip for the prompt.
            max_sequence_length: the number of tokens of T5, 1 to 512.
            lora_scale: by what the strengths of LoRAs are multiplied, outside a call.

        Raises:
            ArgumentError: if the prompts don't fit together, or can't be encoded.
            ArgumentTypeError: if an argument has the wrong type.
        """
        given = locals()
        prompts = Prompts.of(given)
        prompts.check()
        self._check_length(max_sequence_length)
        if prompts.prompt is not None or (
            do_classifier_free_guidance and prompts.negative_prompt_embeds is None
        ):
            self._check_encoders(clip_skip)
        device = self._execution_device if device is None else torch.device(device)
        skips = dict(zip(SIGNS, (clip_skip, None)))
        found: list[Tensor | None] = []
        for sign in SIGNS:
            embeds, pooled = prompts.embeddings(sign)
            if embeds is None and (not sign or do_classifier_free_guidance):
                with adapters_scaled(lora_scale):
                    embeds, pooled = self._embed(
                        [*prompts.texts(sign)], skips[sign], max_sequence_length, device
                    )
            found += [embeds, pooled]
        embeds, pooled, negative, negative_pooled = (
            None if one is None else one.to(device).repeat_interleave(num_images_per_prompt, dim=0)
            for one in found
        )
        assert embeds is not None
        assert pooled is not None
        return embeds, negative, pooled, negative_pooled

    def _embed(
        self, texts: list[list[str]], clip_skip: int | None, length: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return the embeddings and pooled embeddings of texts for each of the three encoders."""
        clips = [
            self.encoder(
                name,
                partial(
                    encode_clip,
                    getattr(self, name.replace("text_encoder", "tokenizer")),
                    getattr(self, name),
                    device=device,
                    length=self.tokenizer_max_length,
                ),
            )
            for name in _CLIPS
        ]
        if self.text_encoder_3 is None:
            width = self.transformer.config.joint_attention_dim
            absent = torch.zeros(
                len(texts[0]), length, width, device=device, dtype=self.text_encoder.dtype
            )
            return embed_texts(clips, lambda _: absent, texts, clip_skip)
        t5 = partial(encode_t5, self.tokenizer_3, self.text_encoder_3, device=device, length=length)
        return embed_texts(clips, self.encoder("text_encoder_3", t5), texts, clip_skip)

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        call = self.call
        embeds, negative, pooled, negative_pooled = self.encode_prompt(
            num_images_per_prompt=call.num_images_per_prompt,
            do_classifier_free_guidance=self.do_classifier_free_guidance,
            clip_skip=self.clip_skip,
            max_sequence_length=call.max_sequence_length,
            **vars(self._prompts),
        )
        if self.do_classifier_free_guidance:
            assert negative is not None
            assert negative_pooled is not None
            embeds = join_halves(embeds, negative)
            pooled = join_halves(pooled, negative_pooled)
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {
            "encoder_hidden_states": tensors["prompt_embeds"],
            "pooled_projections": tensors["pooled_prompt_embeds"],
        }

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        predicted: Tensor = self.transformer(
            sample,
            timestep=timestep,
            joint_attention_kwargs=self.joint_attention_kwargs,
            return_dict=False,
            **inputs,
        )[0]
        return predicted
