"""Types of the core's tasks for type checkers: the declared return types of the Auto classes.

The class of a pipeline from an Auto class is known only at run time. These classes describe what
all pipelines of a task have in common: the types of call arguments, and an output whose `images`
depend on `output_type`. Additional arguments of a family are not checked. No pipeline inherits from
these classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, overload

import torch
from torch import Tensor

from ..outputs import BaseOutput
from .base import DiffusionPipeline
from .call import Cancellation
from .loop import StepCallback

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

Prompt: TypeAlias = str | list[str]
Generators: TypeAlias = torch.Generator | list[torch.Generator] | None
Pixels: TypeAlias = "Image | NDArray[Any] | Tensor"
Given: TypeAlias = "Pixels | Sequence[Image] | Sequence[NDArray[Any]] | Sequence[Tensor]"
"""Input images or masks of a call."""


@dataclass
class PilOutput(BaseOutput):
    """The output of a call with the default `output_type`."""

    images: list[Image]


@dataclass
class ArrayOutput(BaseOutput):
    """The output of a call with `output_type="np"`."""

    images: NDArray[Any]
    """(B, H, W, C), in [0, 1]."""


@dataclass
class TensorOutput(BaseOutput):
    """The output of a call with `output_type="pt"` or `"latent"`."""

    images: Tensor
    """(B, C, H, W)."""


class _Text2ImagePipeline(Protocol):
    @overload
    def __call__(
        self,
        prompt: Prompt | None = None,
        *family: Any,
        height: int | None = None,
        width: int | None = None,
        latents: Tensor | None = None,
        num_inference_steps: int = ...,
        guidance_scale: float = ...,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        output_type: Literal["pil"] = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ...,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
        **families: Any,
    ) -> PilOutput: ...
    @overload
    def __call__(
        self, *given: Any, output_type: Literal["np"], **arguments: Any
    ) -> ArrayOutput: ...
    @overload
    def __call__(
        self, *given: Any, output_type: Literal["pt", "latent"], **arguments: Any
    ) -> TensorOutput: ...
    @overload
    def __call__(self, *given: Any, output_type: str, **arguments: Any) -> Any: ...


class Text2ImagePipeline(_Text2ImagePipeline, DiffusionPipeline):
    """A pipeline that generates images from text."""


class _Image2ImagePipeline(Protocol):
    @overload
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: Given | None = None,
        *family: Any,
        strength: float = ...,
        num_inference_steps: int = ...,
        guidance_scale: float = ...,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        output_type: Literal["pil"] = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ...,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
        **families: Any,
    ) -> PilOutput: ...
    @overload
    def __call__(
        self, *given: Any, output_type: Literal["np"], **arguments: Any
    ) -> ArrayOutput: ...
    @overload
    def __call__(
        self, *given: Any, output_type: Literal["pt", "latent"], **arguments: Any
    ) -> TensorOutput: ...
    @overload
    def __call__(self, *given: Any, output_type: str, **arguments: Any) -> Any: ...


class Image2ImagePipeline(_Image2ImagePipeline, DiffusionPipeline):
    """A pipeline that changes an image by text."""


class _InpaintPipeline(Protocol):
    @overload
    def __call__(
        self,
        prompt: Prompt | None = None,
        image: Given | None = None,
        mask_image: Given | None = None,
        *family: Any,
        strength: float = ...,
        num_inference_steps: int = ...,
        guidance_scale: float = ...,
        negative_prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        output_type: Literal["pil"] = "pil",
        return_dict: bool = True,
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ...,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
        **families: Any,
    ) -> PilOutput: ...
    @overload
    def __call__(
        self, *given: Any, output_type: Literal["np"], **arguments: Any
    ) -> ArrayOutput: ...
    @overload
    def __call__(
        self, *given: Any, output_type: Literal["pt", "latent"], **arguments: Any
    ) -> TensorOutput: ...
    @overload
    def __call__(self, *given: Any, output_type: str, **arguments: Any) -> Any: ...


class InpaintPipeline(_InpaintPipeline, DiffusionPipeline):
    """A pipeline that repaints the masked part of an image."""
