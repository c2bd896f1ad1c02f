"""Denoises the CLIP embedding of an image, conditioned on a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from autopipe.pipeline.loop import Tensors, accepted_options, denoise
from autopipe_components.embedding_prior import prior_predictor
from autopipe_components.steps.callbacks import StepCallbacks
from autopipe_components.steps.codec import Generators
from autopipe_components.steps.timesteps import Schedule

from .methods import NoiseMethods
from .next_timestep import WithNextTimestep

if TYPE_CHECKING:
    from autopipe_components.networks.prior_transformer import PriorTransformer


class DenoisesEmbeddings(NoiseMethods):
    """A pipeline with a `PriorTransformer` as `prior`, and its scheduler."""

    _callback_tensor_inputs: ClassVar[tuple[str, ...]] = (
        "latents",
        "prompt_embeds",
        "text_encoder_hidden_states",
        "text_mask",
    )

    prior: PriorTransformer

    _guidance_scale: float = 4.0

    @property
    def guidance_scale(self) -> float:
        """The strength of guidance by the prompt; guidance is off at 1 and below."""
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether guidance is on: each step predicts with and without the prompt."""
        return self._guidance_scale > 1

    def denoise_embeddings(
        self, tensors: Tensors, schedule: Schedule, callbacks: StepCallbacks, generator: Generators
    ) -> Tensor:
        """Return the embedding (B, D) of the denoised latents.

        Args:
            tensors: `"latents"` (B, D), pooled texts `"prompt_embeds"`, hidden states
                `"text_encoder_hidden_states"` and their mask `"text_mask"`; with guidance 2B rows
                of the texts, the negative half first.
        """

        def scale() -> float | None:
            return self.guidance_scale if self.do_classifier_free_guidance else None

        predict = prior_predictor(self.prior, self.scheduler, tensors, scale)
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
