"""What the combined pipelines of the family share: the components of prior and decoder."""

from __future__ import annotations

from autopipe.kinds import Network, Processor, Scheduler
from autopipe_components.image_embeddings.combined import CombinedPipeline
from autopipe_components.stages.checks import Prompt

from ..prior import KandinskyPriorPipeline


class KandinskyCombined(CombinedPipeline):
    """The components of a Kandinsky 2.1 prior and decoder.

    Args:
        text_encoder, tokenizer, unet, scheduler, movq: those of a `KandinskyPipeline`.
        prior_prior, prior_image_encoder, prior_text_encoder, prior_tokenizer, prior_scheduler,
            prior_image_processor: those of a `KandinskyPriorPipeline`.
    """

    model_cpu_offload_seq = (
        "prior_text_encoder->prior_image_encoder->prior_prior->text_encoder->unet->movq"
    )
    _prior_class = KandinskyPriorPipeline

    def __init__(
        self,
        text_encoder: Network,
        tokenizer: Processor,
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
            text_encoder=text_encoder,
            tokenizer=tokenizer,
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


def tiled(prompt: Prompt, rows: int) -> list[str]:
    """The prompts for so many `rows` of embeddings.

    As in the reference they are repeated as a whole, whereas the embeddings of several images of
    a prompt stand side by side.
    """
    prompts = [prompt] if isinstance(prompt, str) else prompt
    return prompts * (rows // len(prompts))
