"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Component, Export, Family, Pipeline
from autopipe.tasks import Task

_PACKAGE, _LINE = "autopipe_zimage", "zimage"

_MODELS = "transformers.models"

_PIPELINES = {
    Task.TEXT2IMAGE: ("ZImagePipeline", "text2image"),
    Task.IMAGE2IMAGE: ("ZImageImg2ImgPipeline", "image2image"),
    Task.INPAINT: ("ZImageInpaintPipeline", "inpaint"),
}


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    network, output = "ZImageTransformer2DModel", "ZImagePipelineOutput"
    encoder, tokenizer = "Qwen3Model", f"{_MODELS}.qwen2.tokenization_qwen2:Qwen2Tokenizer"
    return Family(
        name="zimage",
        pipelines=tuple(
            Pipeline(name, f"{_PACKAGE}.{module}:{name}", task, _LINE)
            for task, (name, module) in _PIPELINES.items()
        ),
        components=(
            Component(network, f"{_PACKAGE}.network:{network}"),
            # Classes of transformers, imported when a checkpoint is loaded.
            Component(encoder, f"{_MODELS}.qwen3.modeling_qwen3:{encoder}", "transformers"),
            *(
                Component(name, tokenizer, "transformers", kind="other")
                for name in ("Qwen2TokenizerFast", "Qwen2Tokenizer")  # the last one is saved
            ),
        ),
        exports=(Export(output, f"{_PACKAGE}.output:{output}"),),
    )
