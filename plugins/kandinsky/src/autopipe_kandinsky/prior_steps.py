"""The call of a prior, for every kind of start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.loop import Tensors
from autopipe_components.images.encoder_input import as_bytes
from autopipe_components.images.kinds import as_list, kind_of
from autopipe_components.steps.callbacks import step_callbacks
from autopipe_components.steps.checks import (
    Prompt,
    check_components,
)
from autopipe_components.steps.codec import Generators, in_dtype_of
from autopipe_components.steps.timesteps import Schedule, keep_tail, set_schedule

from .denoising import DenoisesEmbeddings
from .encoded_texts import EncodesTexts
from .output import KandinskyPriorPipelineOutput
from .texts import Texts, check_texts, texts_to_encode

Result: TypeAlias = "KandinskyPriorPipelineOutput | tuple[Any, Any]"

Start: TypeAlias = Callable[[Tensors, Schedule, Generators], Tensor]
"""`(tensors, schedule, generator) -> latents`, the start of the steps."""


class PriorSteps(EncodesTexts, DenoisesEmbeddings):
    """The components of a prior, and its call.

    Args:
        prior: a `PriorTransformer`.
        image_encoder: a `transformers.CLIPVisionModelWithProjection`.
        text_encoder: a `transformers.CLIPTextModelWithProjection`.
        tokenizer: a `transformers.CLIPTokenizer`.
        scheduler: a `UnCLIPScheduler`.
        image_processor: a `transformers.CLIPImageProcessor`.
    """

    _exclude_from_cpu_offload = ("prior",)

    image_encoder: Any
    image_processor: Any

    def __init__(
        self,
        prior: Network,
        image_encoder: Network,
        text_encoder: Network,
        tokenizer: Processor,
        scheduler: Scheduler,
        image_processor: Processor,
    ) -> None:
        self.register_modules(
            prior=prior,
            image_encoder=image_encoder,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            scheduler=scheduler,
            image_processor=image_processor,
        )

    def get_zero_embed(
        self, batch_size: int = 1, device: torch.device | str | None = None
    ) -> Tensor:
        """Return the embedding of a black image, (`batch_size`, D)."""
        size = self.image_encoder.config.image_size
        black = torch.zeros(1, 3, size, size)
        return self.embed_images(black, device).repeat(batch_size, 1)

    def run_prior(self, prepare: Callable[[Texts], Start]) -> Result:
        """Run the body of every call.

        Args:
            prepare: checks the arguments for the start, and returns the start.
        """
        # 1. Check everything that can be checked
        check_components(self, ("prior", "text_encoder", "tokenizer", "scheduler"))
        texts = check_texts(self.call)
        if not texts.negative:
            # The negative embedding is then that of a black image.
            check_components(self, ("image_encoder",))
        self._guidance_scale = self.call.guidance_scale
        start = prepare(texts)
        callbacks = step_callbacks(
            self, self.call.callback_on_step_end, self.call.callback_on_step_end_tensor_inputs
        )

        # 2. Set the schedule
        schedule = self.make_schedule()

        # 3. Encode the texts
        tensors = in_dtype_of(self.prior, self.encode_conditioning(texts))

        # 4. Start
        generator = texts.generators(self.call.generator)
        tensors["latents"] = start(tensors, schedule, generator)

        # 5. Denoise
        embeds = self.denoise_embeddings(tensors, schedule, callbacks, generator)

        # 6. Add the negative embeddings
        return self._returned(embeds, texts)

    # Steps, in order

    def make_schedule(self) -> Schedule:
        """Return the schedule, or its last part given by `strength`."""
        schedule = set_schedule(
            self.scheduler,
            num_inference_steps=self.call.num_inference_steps,
            device=self._execution_device,
        )
        strength = self.call.get("strength")
        if strength is None:
            return schedule
        return keep_tail(self.scheduler, steps=schedule.steps, strength=strength)

    def encode_conditioning(self, texts: Texts) -> Tensors:
        """Return the texts as tensors of the call; with guidance, the negative half comes first."""
        guided = self.do_classifier_free_guidance
        every = [*texts.unconditional, *texts.prompts] if guided else texts.prompts
        encoded = self.encode_texts(every, self.call.num_images_per_prompt)
        return dict(zip(("prompt_embeds", "text_encoder_hidden_states", "text_mask"), encoded))

    def _encode_prompt(
        self,
        prompt: Prompt,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
        negative_prompt: Prompt | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return pooled texts (B, P), states (B, K, D) and their mask (B, K); negative half first.

        Raises:
            ArgumentError: if the texts don't fit together.
            ArgumentTypeError: if a text has the wrong type.
        """
        texts = texts_to_encode(prompt, do_classifier_free_guidance, negative_prompt)
        encoded = self.encode_texts(texts, num_images_per_prompt)
        pooled, states, mask = (one.to(device) for one in encoded)
        return pooled, states, mask

    def _returned(self, embeds: Tensor, texts: Texts) -> Result:
        """Return the output of a call: the embeddings and the negative embeddings."""
        if texts.negative:
            embeds, away = embeds.chunk(2)
        else:
            away = self.get_zero_embed(len(embeds), device=embeds.device)
        both: tuple[Any, Any] = embeds, away
        if self.call.output_type == "np":
            both = embeds.float().cpu().numpy(), away.float().cpu().numpy()
        return KandinskyPriorPipelineOutput(*both) if self.call.return_dict else both

    def preprocess_images(self, image: Any) -> Tensor:
        """Return images for the image encoder (N, 3, H, W), or the given embeddings (N, D).

        Args:
            image: PIL images or uint8 arrays (H, W, 3), which are resized; processed pixels
                (N, 3, H, W); embeddings (N, D); or a list of one of these.

        Raises:
            ArgumentError: if the values or shapes are not valid.
            ArgumentTypeError: if `image` has another type.
        """
        items = as_list(image)
        if kind_of(image) != "pt":
            check_components(self, ("image_processor", "image_encoder"))
            items = [as_bytes(one) for one in items]
            seen: Tensor = self.image_processor(items, return_tensors="pt").pixel_values
            return seen
        if not all(one.ndim == 2 for one in items):
            check_components(self, ("image_encoder",))
        side = 0 if self.image_encoder is None else self.image_encoder.config.image_size
        for shape in ((self.prior.config.embedding_dim,), (3, side, side)):
            if all(tuple(one.shape[1:]) == shape for one in items):
                return torch.cat(items)
        raise ArgumentError(
            f"image has tensors of the shapes {[tuple(one.shape) for one in items]}; give pixels "
            f"(batch, 3, {side}, {side}) from image_processor, or embeddings "
            f"(batch, {self.prior.config.embedding_dim})"
        )

    def embed_images(self, seen: Tensor, device: torch.device | str | None = None) -> Tensor:
        """Return embeddings (N, D) of the output of `preprocess_images`."""
        if seen.ndim == 2:
            return seen
        seen = seen.to(device=device or self._execution_device, dtype=self.image_encoder.dtype)
        embeds: Tensor = self.image_encoder(seen).image_embeds
        return embeds
