"""The prior: from text to the embedding of an image."""

from __future__ import annotations

from autopipe_kandinsky.prior import ImageEmbeddingPrior


class KandinskyPriorPipeline(ImageEmbeddingPrior):
    """The prior of Kandinsky 2.1: the embedding of an image of what a text says."""

    model_cpu_offload_seq = "text_encoder->prior"
