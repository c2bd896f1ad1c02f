"""The components of the family, and the methods that encode prompts and check images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from autopipe.kinds import Network, Processor, Scheduler
from autopipe_components.guided import GuidedPipeline
from autopipe_components.safety import check_images, check_safety
from autopipe_components.steps.checks import Prompt
from autopipe_components.steps.given import ChecksGiven
from autopipe_components.steps.prompt import (
    check_encoder,
    distinct_texts,
    embed_prompts,
    tokenize,
)

from .captions import clean_caption as cleaned
from .captions import prepare_captions

TOKENS = 77
"""The training length of prompts in tokens; the text encoder supports more."""


class IFComponents(ChecksGiven, GuidedPipeline):
    """The components of DeepFloyd IF, and the methods that encode prompts and check images.

    Args:
        tokenizer: a `transformers.T5Tokenizer`.
        text_encoder: a `transformers.T5EncoderModel`; None for calls with embeddings.
        unet: a `UNet2DConditionModel`; None to only encode prompts.
        scheduler: a scheduler, such as `DDPMScheduler`.
        safety_checker: an `IFSafetyChecker`, or a function `(images, clip_input)` that returns
            images, flags and watermark flags; with None, images are not checked.
        feature_extractor: a `transformers.CLIPImageProcessor`, required by the safety checker.
        watermarker: an `IFWatermarker`, which marks PIL images; None doesn't mark them.
        requires_safety_checker: whether to warn if there is no safety checker.

    Raises:
        ArgumentError: if there is a safety checker, but no feature extractor.
    """

    model_cpu_offload_seq = "text_encoder->unet"
    _optional_components = (
        "tokenizer",
        "text_encoder",
        "safety_checker",
        "feature_extractor",
        "watermarker",
    )
    _exclude_from_cpu_offload = ("watermarker",)
    cascade_components: ClassVar[tuple[str, ...]] = _optional_components
    """The components of the first stage of a cascade that the other stages share."""

    tokenizer: Any
    text_encoder: Any
    safety_checker: Any
    feature_extractor: Any
    watermarker: Any

    def __init__(
        self,
        tokenizer: Processor,
        text_encoder: Network,
        unet: Network,
        scheduler: Scheduler,
        safety_checker: Network,
        feature_extractor: Processor,
        watermarker: Any,
        requires_safety_checker: bool = True,
    ) -> None:
        check_safety(
            type(self).__name__,
            safety_checker,
            feature_extractor,
            required=requires_safety_checker,
            license_of="DeepFloyd IF",
        )
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            unet=unet,
            scheduler=scheduler,
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
            watermarker=watermarker,
        )
        self.register_to_config(requires_safety_checker=requires_safety_checker)

    # Prompts

    @torch.no_grad()
    def encode_prompt(
        self,
        prompt: Prompt | None,
        do_classifier_free_guidance: bool = True,
        num_images_per_prompt: int = 1,
        device: torch.device | str | None = None,
        negative_prompt: Prompt | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        clean_caption: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the embeddings (B, K, D) of prompt and negative prompt, repeated for each image.

        All stages of a cascade can use them; the U-Net is not needed.

        Args:
            prompt: a string or a list of strings; None if `prompt_embeds` are given.
            do_classifier_free_guidance: if False, the negative embeddings are None.
            num_images_per_prompt: the number of repetitions of each prompt.
            device: the device of the embeddings; None means that of the pipeline.
            negative_prompt: as `prompt`; by default empty strings.
            prompt_embeds, negative_prompt_embeds: used in place of encoding a prompt.
            clean_caption: see `Call`.

        Raises:
            ArgumentError: if the prompts contradict each other, or there is no text encoder.
            ArgumentTypeError: if a prompt has the wrong type.
        """
        target = self._execution_device if device is None else device

        def encode(texts: Sequence[str], length: int | None) -> Tensor:
            embeds: Tensor = self.encoder("text_encoder", self._encode_text)(
                prepare_captions(texts, clean=clean_caption), length or TOKENS, target
            )
            return embeds

        network = self.unet if self.text_encoder is None else self.text_encoder
        embeds, negative = embed_prompts(
            encode,
            prompt,
            negative_prompt,
            prompt_embeds,
            negative_prompt_embeds,
            guided=do_classifier_free_guidance,
            num_images_per_prompt=num_images_per_prompt,
            device=target,
            dtype=None if network is None else network.dtype,
        )
        return embeds, negative if do_classifier_free_guidance else None

    def encode_for_cascade(
        self, prompt: Prompt, negative_prompt: Prompt | None = None, num_images_per_prompt: int = 1
    ) -> dict[str, Any]:
        """Encode prompts as in a call; return them by the names of the call's parameters."""
        embeds, negative = self.encode_prompt(
            prompt,
            num_images_per_prompt=num_images_per_prompt,
            negative_prompt=negative_prompt,
            clean_caption=True,
        )
        return {"prompt_embeds": embeds, "negative_prompt_embeds": negative}

    def _text_preprocessing(self, text: Prompt, clean_caption: bool = False) -> list[str]:
        """Return texts for the text encoder; see `prepare_captions`."""
        texts = [text] if isinstance(text, str) else text
        return prepare_captions(texts, clean=clean_caption)

    def _clean_caption(self, caption: str) -> str:
        """Return `caption` after one pass of cleaning."""
        return cleaned(caption)

    def _encode_text(self, texts: Sequence[str], length: int, device: torch.device | str) -> Tensor:
        """Return the hidden states (B, length, D) of `texts`; equal texts are encoded once."""
        check_encoder(self.text_encoder, self.tokenizer)
        distinct, positions = distinct_texts(texts)
        with self.tokenizing(self.tokenizer):
            ids, mask = tokenize(self.tokenizer, distinct, length)
        states = self.text_encoder(ids.to(device), attention_mask=mask.to(device))
        embeds: Tensor = states.last_hidden_state[positions]
        return embeds

    # Images

    def run_safety_checker(
        self, image: np.ndarray, device: torch.device | str, dtype: torch.dtype
    ) -> tuple[np.ndarray, list[bool] | None, list[bool] | None]:
        """Return `image` with unwanted ones set to zero, and flags for content and watermarks.

        Args:
            image: (B, H, W, 3) in [0, 1].

        Returns:
            The images and the flags, which are None without a safety checker.

        Raises:
            ArgumentTypeError: if the safety checker is a function that doesn't return images and
                flags.
        """
        if self.safety_checker is None:
            return image, None, None
        checked, unwanted, marked = check_images(
            self.safety_checker,
            self.feature_extractor,
            image,
            lambda: self.numpy_to_pil(image),
            device=device,
            dtype=dtype,
            kinds=2,
        )
        return checked, unwanted, marked
