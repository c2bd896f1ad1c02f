"""The output of pipelines with a safety checker."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from autopipe_components.latent import LatentPipeline
from autopipe_components.safety import check_images, needs_extractor
from autopipe_components.steps.checks import check_components

from .output import StableDiffusionPipelineOutput

_Result = TypeVar("_Result")


class CheckedOutput(LatentPipeline[_Result]):
    """The steps of pipelines whose safety checker makes unwanted images black."""

    _exclude_from_cpu_offload: ClassVar[tuple[str, ...]] = ("safety_checker",)

    output_class: ClassVar[type[Any]] = StableDiffusionPipelineOutput

    safety_checker: Any

    def check_conditioning(self) -> None:
        super().check_conditioning()
        if needs_extractor(self.safety_checker) and self.call.output_type != "latent":
            check_components(self, ("feature_extractor",))

    def output_values(self, pixels: Tensor, dtype: torch.dtype) -> tuple[Any, list[bool] | None]:
        pixels, flags = self.run_safety_checker(pixels, pixels.device, dtype)
        in_range = [not black for black in flags or [False] * len(pixels)]
        return self.image_processor.postprocess(pixels, self.call.output_type, in_range), flags

    def run_safety_checker(
        self, image: Any, device: torch.device | str, dtype: torch.dtype
    ) -> tuple[Any, list[bool] | None]:
        """Return `image` with unwanted ones set to zero, and flags; None without a safety checker.

        Args:
            image: a tensor (B, 3, H, W) in [-1, 1], or an array (B, H, W, 3) in [0, 1]. Further
                channels, such as a depth, are not shown to the safety checker.

        Raises:
            ArgumentTypeError: if the safety checker is a function that doesn't return images and
                flags.
        """
        if self.safety_checker is None:
            return image, None

        def pictures() -> Any:
            if isinstance(image, Tensor):
                return self.image_processor.postprocess(image[:, :3], "pil")
            return self.numpy_to_pil(image[..., :3])

        checked, flags = check_images(
            self.safety_checker, self.feature_extractor, image, pictures, device=device, dtype=dtype
        )
        return checked, flags
