"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import AddOn, Manifest

from . import inputs


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    package = "autopipe_speedups"
    return Manifest(
        name="speedups",
        addons=(
            AddOn(
                "step_cache",
                f"{package}.step_cache:StepCache",
                (inputs.CACHE_INTERVAL, inputs.CACHE_DEPTH, inputs.CACHE_FULL_STEPS),
                "reuse the deep features of a U-Net in the steps that follow",
                fast="two of three steps run only the outermost layers of the U-Net; with 50 steps "
                "of the demo, 41 % of the work is left, and the PSNR of images is 40 dB",
            ),
            AddOn(
                "guidance_interval",
                f"{package}.guidance_interval:GuidanceInterval",
                (inputs.GUIDANCE_INTERVAL, inputs.GUIDANCE_SIGMAS),
                "guidance only in a part of the steps",
            ),
            AddOn(
                "guidance_halves",
                f"{package}.guidance_halves:GuidanceHalves",
                (inputs.GUIDANCE_HALVES,),
                "guidance with half of the memory",
            ),
        ),
    )
