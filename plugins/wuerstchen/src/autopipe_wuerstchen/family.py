"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import Family, Pipeline
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT, moved

_NETWORKS = {
    "PaellaVQModel": "paella_vq_model",
    "WuerstchenDiffNeXt": "diffnext",
    "WuerstchenPrior": "prior",
}


@hookimpl
def autopipe_family() -> Family:
    """Return the manifest."""
    package, line = "autopipe_wuerstchen", "wuerstchen"
    both, decoder = "WuerstchenCombinedPipeline", "WuerstchenDecoderPipeline"
    prior = "WuerstchenPriorPipeline"
    return Family(
        name="wuerstchen",
        pipelines=(
            Pipeline(both, f"{package}.combined:{both}", Task.TEXT2IMAGE, line),
            Pipeline(
                decoder,
                f"{package}.decoder:{decoder}",
                Task.TEXT2IMAGE,
                f"{line}.decoder",
                opens_as=line,
                needs="prior",
            ),
            Pipeline(prior, f"{package}.prior:{prior}"),
        ),
        components=(
            *LIGHT,
            *(
                claim
                for name, module in _NETWORKS.items()
                for claim in moved(name, f"{package}.networks.{module}:{name}", line)
            ),
        ),
    )
