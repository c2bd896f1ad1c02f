"""The components that the combined pipelines of the family share."""

from __future__ import annotations

from autopipe.kinds import Network, Processor, Scheduler
from autopipe_kandinsky.combined import CombinedPipeline

from ..prior import KandinskyV22PriorPipeline


class KandinskyV22Combined(CombinedPipeline):
    """The components of a Kandinsky 2.2 prior and decoder.

    Args:
        unet, scheduler, movq: those of a `KandinskyV22Pipeline`.
        prior_prior, prior_image_encoder, prior_text_encoder, prior_tokenizer, prior_scheduler,
            prior_image_processor: those of a `KandinskyV22PriorPipeline`.
    """

    model_cpu_offload_seq = "prior_text_encoder->prior_image_encoder->unet->movq"
    prior_class = KandinskyV22PriorPipeline

    def __init__(
        self,
        unet: Network,
        scheduler: Scheduler,
        movq: Network,
        prior_prior: Network,
        prior_image_encoder: Network,
        prior_text_encoder: Network,
        prior_tokenizer: Processor,
        prior_scheduler: Scheduler,
        prior_image_processor: Processor,
    ) -> None:
        self.register_modules(
            unet=unet,
            scheduler=scheduler,
            movq=movq,
            prior_prior=prior_prior,
            prior_image_encoder=prior_image_encoder,
            prior_text_encoder=prior_text_encoder,
            prior_tokenizer=prior_tokenizer,
            prior_scheduler=prior_scheduler,
            prior_image_processor=prior_image_processor,
        )
