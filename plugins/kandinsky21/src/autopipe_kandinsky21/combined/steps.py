"""The components that the combined pipelines of the family share."""

from __future__ import annotations

from typing import Any

from autopipe.kinds import Network, Processor, Scheduler
from autopipe_kandinsky.combined import CombinedPipeline

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
    prior_class = KandinskyPriorPipeline

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

    def decoder_arguments(self, rows: int) -> dict[str, Any]:
        """Return the decoder's arguments of the call, with prompts for `rows` embeddings.

        As in the reference implementation, the list of prompts is repeated as a whole, whereas the
        embeddings of several images of a prompt are adjacent.
        """
        prompt = self.call.prompt
        prompts = [prompt] if isinstance(prompt, str) else prompt
        tiled = prompts * (rows // len(prompts))
        return {**super().decoder_arguments(rows), "prompt": tiled}
