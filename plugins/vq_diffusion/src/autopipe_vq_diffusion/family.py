"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line = "autopipe_vq_diffusion", "vq_diffusion"
    pipeline, transformer = "VQDiffusionPipeline", "Transformer2DModel"
    learned = "LearnedClassifierFreeSamplingEmbeddings"
    return Family(
        name="vq_diffusion",
        pipelines=(Pipeline(pipeline, f"{package}.text2image:{pipeline}", Task.TEXT2IMAGE, line),),
        components=(
            *LIGHT,
            Component(transformer, f"{package}.transformer:{transformer}"),
            # Saved as the Hub has it; diffusers 0.42 saves the other form.
            *(
                Component(learned, f"{package}.learned_embeddings:{learned}", library)
                for library in ("diffusers", line)
            ),
        ),
    )
