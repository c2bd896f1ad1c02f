"""The steps that all tasks of the family share: components, prompt, prediction and output."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.loop import Tensors
from autopipe_components.guided import Predict
from autopipe_components.latent import FlowPipeline, WholeTokens
from autopipe_components.steps.chats import ChatEmbeds, ChatPrompts, encode_chats
from autopipe_components.steps.checks import (
    Prompt,
    check_at_least_one,
    check_image,
    check_number,
)
from autopipe_components.steps.codec import in_dtype_of
from autopipe_components.steps.prompt import check_encoder

from .checks import longest_caption
from .output import Result, ZImagePipelineOutput

CHAT = {"layer": -2, "enable_thinking": True}
"""How the text encoder reads prompts: about to think, and without its last layer."""


class ZImageSteps(WholeTokens[Result], FlowPipeline[Result]):
    """The components of Z-Image, and the steps that all tasks share.

    Args:
        scheduler: one of flows, such as `FlowMatchEulerDiscreteScheduler`.
        vae: an `AutoencoderKL`.
        text_encoder: a language model, `transformers.Qwen3Model`.
        tokenizer: a `transformers.Qwen2Tokenizer` with a chat template.
        transformer: a `ZImageTransformer2DModel`.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae"
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = ("latents", "prompt_embeds")
    required_components = ("transformer", "scheduler")
    output_class = ZImagePipelineOutput

    text_encoder: Any
    tokenizer: Any
    transformer: Any

    _guidance_scale = 5.0
    _is_truncated = False

    def __init__(
        self,
        scheduler: Scheduler,
        vae: Network,
        text_encoder: Network,
        tokenizer: Processor,
        transformer: Network,
    ) -> None:
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
            transformer=transformer,
        )

    # The network, guidance and sizes

    @property
    def denoiser(self) -> Any:
        return self.transformer

    @property
    def do_classifier_free_guidance(self) -> bool:
        return self._guidance_scale > 0

    @property
    def predicts_both_halves(self) -> bool:
        return super().predicts_both_halves and not self._is_truncated

    def default_size(self) -> tuple[int, int]:
        return 1024, 1024

    def set_size(self, batch_size: int, height: int, width: int) -> None:
        most = [side * self.size_unit for side in self.transformer.config.axes_lens[1:]]
        if height > most[0] or width > most[1]:
            raise ArgumentError(
                f"height and width are {height} and {width}; this network draws up to {most[0]} "
                f"and {most[1]}"
            )
        super().set_size(batch_size, height, width)

    # The prompt

    def check_prompts(self) -> int:
        return ChatPrompts.of(self.call).check(self.transformer.config.cap_feat_dim)

    def check_conditioning(self) -> None:
        call = self.call
        for name in ("cfg_normalization", "cfg_truncation"):
            value = call[name]
            if value is not None and not isinstance(value, bool):
                check_number(name, value)
                if math.isnan(value):
                    raise ArgumentError(f"{name} is {value}; give a number")
        length, most = call.max_sequence_length, longest_caption(self.transformer.config)
        check_at_least_one("max_sequence_length", length)
        if length > most:
            raise ArgumentError(
                f"max_sequence_length is {length}; this network takes up to {most} tokens"
            )
        if ChatPrompts.of(call).encodes(guided=self.do_classifier_free_guidance):
            check_encoder(self.text_encoder, self.tokenizer)

    def encode_prompt(
        self,
        prompt: Prompt | None = None,
        device: torch.device | str | None = None,
        do_classifier_free_guidance: bool = True,
        negative_prompt: Prompt | None = None,
        prompt_embeds: ChatEmbeds | None = None,
        negative_prompt_embeds: ChatEmbeds | None = None,
        max_sequence_length: int = 512,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the embeddings (K, D) of prompts and of negative prompts.

        Without guidance there are none of negative prompts.

        Args:
            prompt, negative_prompt: a string or a list of strings; a negative prompt is empty by
                default.
            device: the device of the text encoder; None means that of the pipeline.
            prompt_embeds, negative_prompt_embeds: returned in place of encoded strings.
            max_sequence_length: the most tokens of a prompt; the rest is cut off with a warning.

        Raises:
            ArgumentError: if the prompts don't fit together, or there is no text encoder.
            ArgumentTypeError: if a prompt has the wrong type.
        """
        prompts = ChatPrompts(prompt, negative_prompt, prompt_embeds, negative_prompt_embeds)
        prompts.check()
        guided = do_classifier_free_guidance
        if prompts.encodes(guided=guided):
            check_encoder(self.text_encoder, self.tokenizer)
        encode = partial(encode_chats, self.tokenizer, self.text_encoder)
        device = self._execution_device if device is None else device
        options = {"device": device, "length": max_sequence_length, **CHAT}
        encode = partial(self.encoder("text_encoder", encode), **options)
        return prompts.embed(encode, guided=guided)

    def _encode_prompt(
        self,
        prompt: Prompt,
        device: torch.device | str | None = None,
        prompt_embeds: ChatEmbeds | None = None,
        max_sequence_length: int = 512,
    ) -> list[Tensor]:
        """Return the embeddings (K, D) of prompts; see `encode_prompt`."""
        texts = prompt if prompt_embeds is None else None
        return self.encode_prompt(
            texts, device, False, None, prompt_embeds, None, max_sequence_length
        )[0]

    def check_given_prompts(self, given: Mapping[str, Any]) -> None:
        ChatPrompts(**{one.name: given.get(one.name) for one in fields(ChatPrompts)}).check()

    def encode_conditioning(self, height: int, width: int) -> Tensors:
        both = self.encode_prompt(
            do_classifier_free_guidance=self.do_classifier_free_guidance,
            max_sequence_length=self.call.max_sequence_length,
            **vars(ChatPrompts.of(self.call)),
        )
        count, device = self.call.num_images_per_prompt, self._execution_device
        embeds, negative = ([e.to(device) for e in one for _ in range(count)] for one in both)
        return {"prompt_embeds": embeds, "negative_prompt_embeds": negative}

    def latents_dtype(self, tensors: Tensors) -> torch.dtype:
        return torch.float32

    # The prediction

    def make_predictor(
        self, tensors: Tensors, extra_channels: Callable[[], Sequence[Tensor]] = tuple
    ) -> Predict:
        predict, most = super().make_predictor(tensors, extra_channels), self.call.cfg_truncation

        def truncated(step: int, timestep: Tensor) -> Tensor:
            # No time is above 1, so by default nothing waits for the value of the timestep.
            late = most is not None and most < 1
            self._is_truncated = late and float(self._time(timestep)) > most
            return predict(step, timestep)

        return truncated

    @staticmethod
    def _time(timestep: Tensor) -> Tensor:
        """Return the time, from 0 for noise to 1 for an image, of a timestep from 1000 to 0."""
        return (1000 - timestep.float()) / 1000

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        embeds = tensors["prompt_embeds"]
        if self.do_classifier_free_guidance:
            embeds = [*tensors["negative_prompt_embeds"], *embeds]
        lengths = torch.tensor([*map(len, embeds)])
        return {"embeds": pad_sequence(embeds, batch_first=True), "lengths": lengths}

    def run_denoiser(
        self, sample: Tensor, timestep: Tensor, guidance: Tensor | None, inputs: Mapping[str, Any]
    ) -> Tensor:
        further = {**inputs}
        lengths = further.pop("lengths").tolist()
        captions = [one[:length] for one, length in zip(further.pop("embeds"), lengths)]
        images = in_dtype_of(self.transformer, sample)[:, :, None].unbind()
        found = self.transformer(
            images,
            self._time(timestep).to(sample.device).expand(len(sample)),
            captions,
            joint_attention_kwargs=self.joint_attention_kwargs,
            return_dict=False,
            **further,
        )[0]
        # The network predicts the way from noise to image, and schedulers follow it backwards.
        return -torch.stack([*found])[:, :, 0].float()

    def apply_guidance(self, prediction: Tensor, further: Tensor | None = None) -> Tensor:
        negative, positive = prediction.chunk(2)
        guided = positive + self.guidance_scale * (positive - negative)
        guided = guided if further is None else guided + further
        most = float(self.call.cfg_normalization or 0)
        if most <= 0:
            return guided
        length = partial(torch.linalg.vector_norm, dim=(1, 2, 3), keepdim=True)
        allowed, own = most * length(positive), length(guided)
        return torch.where(own > allowed, guided * (allowed / own), guided)


class ZImageImageSteps(ZImageSteps):
    """The steps of tasks that start from an image."""

    starts_pure = False
    encodes_each = False
    keeps_latents = True

    def default_size(self) -> tuple[int, int]:
        check_image(self.call.image)
        return self.size_in_pixels(self.image_processor.preprocess(self.call.image))

    def latents_dtype(self, tensors: Tensors) -> torch.dtype:
        # As in the reference implementation, noise is added in the dtype of the prompt.
        dtype: torch.dtype = tensors["prompt_embeds"][0].dtype
        return dtype
