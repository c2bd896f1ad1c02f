"""The tasks, and what a pipeline must take to fulfil one."""

from __future__ import annotations

import inspect
from enum import Enum
from typing import Any, ClassVar, Protocol, runtime_checkable

from .errors import ArgumentError, nearest


class Task(str, Enum):
    """What a user wants done. The value is the name used in manifests and on command lines."""

    TEXT2IMAGE = "text2image"
    IMAGE2IMAGE = "image2image"
    INPAINT = "inpaint"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def parse(cls, name: Task | str) -> Task:
        """The task called `name`; dashes and the Hub's long names are understood.

        Raises:
            ArgumentError: there is no such task.
        """
        plain = str(name).lower().replace("_", "-")
        known = {task.value: task for task in cls}
        known |= {
            "text-to-image": cls.TEXT2IMAGE,
            "image-to-image": cls.IMAGE2IMAGE,
            "img2img": cls.IMAGE2IMAGE,
            "inpainting": cls.INPAINT,
            "image-inpainting": cls.INPAINT,
        }
        if plain not in known:
            raise ArgumentError(
                f"there is no task {str(name)!r}; the tasks are {', '.join(t.value for t in cls)}."
                + nearest(plain, known)
            )
        return known[plain]


@runtime_checkable
class Text2Image(Protocol):
    """Makes images from text. A class says so by subclassing, or by setting the marker."""

    __text2image__: ClassVar[bool] = True

    def __call__(self, prompt: Any, *args: Any, **kwargs: Any) -> Any:
        """Return an output whose `images` hold one image for each prompt and repetition."""
        ...


@runtime_checkable
class Image2Image(Protocol):
    """Makes images from text and a starting image."""

    __image2image__: ClassVar[bool] = True

    def __call__(self, prompt: Any, image: Any, *args: Any, **kwargs: Any) -> Any:
        """As `Text2Image`; `image` is changed by `strength` in [0, 1]."""
        ...


@runtime_checkable
class Inpaint(Protocol):
    """Repaints the part of an image that a mask marks white."""

    __inpaint__: ClassVar[bool] = True

    def __call__(self, prompt: Any, image: Any, mask_image: Any, *args: Any, **kwargs: Any) -> Any:
        """As `Image2Image`; only what `mask_image` marks is repainted."""
        ...


PROTOCOLS: dict[Task, type] = {
    Task.TEXT2IMAGE: Text2Image,
    Task.IMAGE2IMAGE: Image2Image,
    Task.INPAINT: Inpaint,
}

_EVERY_TASK = (
    "prompt",
    "num_inference_steps",
    "guidance_scale",
    "num_images_per_prompt",
    "generator",
    "output_type",
    "return_dict",
    "callback_on_step_end",
    "callback_on_step_end_tensor_inputs",
)

PARAMETERS: dict[Task, tuple[str, ...]] = {
    Task.TEXT2IMAGE: (*_EVERY_TASK, "height", "width", "latents"),
    Task.IMAGE2IMAGE: (*_EVERY_TASK, "image", "strength"),
    Task.INPAINT: (*_EVERY_TASK, "image", "mask_image", "strength"),
}
"""The named parameters that `__call__` of a pipeline must have, by task."""


def missing_parameters(pipeline_class: type, task: Task) -> tuple[str, ...]:
    """The parameters of `task` that the `__call__` of `pipeline_class` doesn't name."""
    named = inspect.signature(pipeline_class.__call__).parameters
    return tuple(name for name in PARAMETERS[task] if name not in named)
