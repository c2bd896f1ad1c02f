"""The prior: converts text to the embedding of an image."""

from __future__ import annotations

from autopipe_kandinsky.prior import ImageEmbeddingPrior


class KandinskyPriorPipeline(ImageEmbeddingPrior):
    """The prior of Kandinsky 2.1: converts text to the embedding of an image."""

    model_cpu_offload_seq = "text_encoder->prior"
