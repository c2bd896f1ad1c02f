"""Names that `autopipe` has, and some that it hasn't."""

import autopipe
from autopipe import AutoPipelineForText2Images  # flagged
from autopipe import StableDifusionPipeline  # flagged
from autopipe import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel, randn_tensor
from autopipe import errors, registry, utils

autopipe.StableDiffusionPipeline.from_pretrained("demo:stable_diffusion")
autopipe.StableDiffusionPipelin  # flagged
errors.ArgumentError("what")
errors.ArgumentErorr  # flagged
print(registry.families, utils.numpy_to_pil, DDIMScheduler, randn_tensor)


def is_one(pipe: StableDiffusionPipeline, network: UNet2DConditionModel) -> bool:
    """Every name is a type of its own."""
    return pipe.unet is network
