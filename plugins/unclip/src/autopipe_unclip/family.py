"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT, moved
from autopipe_components.tasks import VARIATION


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line = "autopipe_unclip", "unclip"
    texts, images = "UnCLIPPipeline", "UnCLIPImageVariationPipeline"
    projection = "UnCLIPTextProjModel"
    return Family(
        name="unclip",
        tasks=(VARIATION,),
        pipelines=(
            Pipeline(texts, f"{package}.text2image:{texts}", Task.TEXT2IMAGE, line),
            Pipeline(images, f"{package}.variation:{images}", VARIATION, f"{line}.variation"),
        ),
        components=(*LIGHT, *moved(projection, f"{package}.text_projection:{projection}", line)),
    )
