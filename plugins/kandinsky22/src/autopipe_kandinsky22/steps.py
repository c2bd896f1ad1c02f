"""The steps that the decoders of the family share: components and inputs of the U-Net."""

from __future__ import annotations

from typing import Any

from autopipe.kinds import Network, Scheduler
from autopipe.pipeline.loop import Tensors
from autopipe_kandinsky.decoder import EmbeddingDecoder


class KandinskyV22Decoder(EmbeddingDecoder):
    """The components of a Kandinsky 2.2 decoder.

    Args:
        unet: a `UNet2DConditionModel` with `addition_embed_type` "image" or "image_hint".
        scheduler: a `DDPMScheduler`, or another scheduler.
        movq: a `VQModel`.
    """

    def __init__(self, unet: Network, scheduler: Scheduler, movq: Network) -> None:
        self.register_modules(unet=unet, scheduler=scheduler, movq=movq)

    @property
    def image_embedding_dim(self) -> int:
        return int(self.unet.config.encoder_hid_dim)

    def denoiser_inputs(self, tensors: Tensors) -> dict[str, Any]:
        return {
            "encoder_hidden_states": None,
            "added_cond_kwargs": {"image_embeds": tensors["image_embeds"]},
        }
