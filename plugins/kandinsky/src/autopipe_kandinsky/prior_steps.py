"""The call of a prior, for every kind of start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.loop import Tensors, accepted_options, denoise
from autopipe_components.images.encoder_input import as_bytes
from autopipe_components.images.kinds import as_list, kind_of
from autopipe_components.steps.callbacks import StepCallbacks, step_callbacks
from autopipe_components.steps.checks import (
    Prompt,
    check_components,
)
from autopipe_components.steps.codec import Generators, in_dtype_of
from autopipe_components.steps.guidance import double, guide
from autopipe_components.steps.prompt import distinct_texts, text_length, tokenize
from autopipe_components.steps.timesteps import Schedule, keep_tail, set_schedule

from .methods import NoiseMethods
from .next_timestep import WithNextTimestep
from .output import KandinskyPriorPipelineOutput
from .texts import Texts, check_texts, texts_to_encode

if TYPE_CHECKING:
    from autopipe_components.networks.prior_transformer import PriorTransformer

Result: TypeAlias = "KandinskyPriorPipelineOutput | tuple[Any, Any]"

Start: TypeAlias = Callable[[Tensors, Schedule, Generators], Tensor]
"""`(tensors, schedule, generator) -> latents`, the start of the steps."""


class PriorSteps(NoiseMethods):
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
    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "text_encoder_hidden_states",
        "text_mask",
    )

    prior: PriorTransformer
    image_encoder: Any
    text_encoder: Any
    tokenizer: Any
    image_processor: Any

    _guidance_scale: float = 4.0

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

    @property
    def guidance_scale(self) -> float:
        """The strength of guidance by the prompt; guidance is off at 1 and below."""
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether guidance is on: each step predicts with and without the prompt."""
        return self._guidance_scale > 1

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
        embeds = self._denoise(tensors, schedule, callbacks, generator)

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
        encoded = self._encoded(every, self.call.num_images_per_prompt)
        return dict(zip(("prompt_embeds", "text_encoder_hidden_states", "text_mask"), encoded))

    def _encoded(self, texts: Sequence[str], count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return pooled texts (B, P), states (B, K, D) and mask (B, K), repeated `count` times."""
        distinct, positions = distinct_texts(texts)
        states, pooled, mask = self.encoder("text_encoder", self._encode_text)(distinct)
        pooled, states, mask = (
            one[positions].repeat_interleave(count, dim=0) for one in (pooled, states, mask)
        )
        return pooled, states, mask

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
        encoded = self._encoded(texts, num_images_per_prompt)
        pooled, states, mask = (one.to(device) for one in encoded)
        return pooled, states, mask

    def _encode_text(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Return hidden states (B, K, D), pooled texts (B, P), and the attention mask (B, K)."""
        device = self._execution_device
        with self.tokenizing(self.tokenizer):
            length = text_length(self.tokenizer, self.text_encoder)
            ids, mask = tokenize(self.tokenizer, texts, length)
        encoded = self.text_encoder(ids.to(device))
        return encoded.last_hidden_state, encoded.text_embeds, mask.bool().to(device)

    def _denoise(
        self, tensors: Tensors, schedule: Schedule, callbacks: StepCallbacks, generator: Generators
    ) -> Tensor:
        """Return the embedding of the denoised latents."""

        def predict(step: int, timestep: Tensor) -> Tensor:
            guided = self.do_classifier_free_guidance
            sample = self.scheduler.scale_model_input(tensors["latents"], timestep)
            prediction: Tensor = self.prior(
                double(sample) if guided else sample,
                timestep=timestep,
                proj_embedding=tensors["prompt_embeds"],
                encoder_hidden_states=tensors["text_encoder_hidden_states"],
                attention_mask=tensors["text_mask"],
            ).predicted_image_embedding
            return guide(prediction, self.guidance_scale) if guided else prediction

        scheduler: Any = WithNextTimestep(self.scheduler, schedule.timesteps)
        latents = denoise(
            self,
            tensors,
            predict,
            timesteps=schedule.timesteps,
            steps=schedule.steps,
            scheduler=scheduler,
            step_options=accepted_options(self.scheduler, generator=generator),
            **callbacks,
        )
        embeds: Tensor = self.prior.post_process_latents(latents)
        return embeds

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
