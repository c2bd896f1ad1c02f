"""What a check looks at: a family, or one of its pipelines with a checkpoint and inputs."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopipe.manifest import Family, Pipeline
from autopipe.registry import default_registry
from autopipe.targets import load_target
from autopipe.tasks import Task

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from autopipe.pipeline.base import DiffusionPipeline

STEPS = 2
"""Of a call: the fewest that make a loop."""


@dataclass(frozen=True)
class Subject:
    """A pipeline under test.

    Attributes:
        family: the manifest.
        pipeline: its entry for the pipeline.
        folder: a tiny checkpoint that the pipeline's class loads.
        inputs: arguments of a call beyond those that the task implies.
        size: width and height of the pictures that calls start from.
        scratch: an empty folder.
    """

    family: Family
    pipeline: Pipeline
    folder: Path
    scratch: Path
    inputs: Mapping[str, Any] = field(default_factory=dict)
    size: tuple[int, int] = (64, 64)

    @property
    def cls(self) -> Any:
        """The pipeline's class."""
        return load_target(self.pipeline.target)

    @property
    def task(self) -> Task:
        """What the pipeline does."""
        assert self.pipeline.task is not None
        return self.pipeline.task

    @property
    def row(self) -> list[Pipeline]:
        """The pipelines that the checkpoint can be switched to, itself among them."""
        own = (self.pipeline.line, self.pipeline.conditions)
        found = [p for of_task in default_registry().tasks.values() for p in of_task]
        return [p for p in found if (p.line, p.conditions) == own]

    def load(self, **changes: Any) -> DiffusionPipeline:
        """The pipeline, silent."""
        with quiet():
            pipe: DiffusionPipeline = self.cls.from_pretrained(self.folder, **changes)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def arguments(self, seed: int = 0, task: Task | None = None, **changes: Any) -> dict[str, Any]:
        """The arguments of a call: those of the task, the author's, then `changes`."""
        import torch

        task = task or self.task
        given: dict[str, Any] = {
            "prompt": "a red circle",
            "num_inference_steps": STEPS,
            "generator": torch.Generator().manual_seed(seed),
            "output_type": "np",
        }
        if task is not Task.TEXT2IMAGE:
            # Of so many steps, at least `STEPS` are left.
            given |= {"image": picture(self.size), "strength": 0.5, "num_inference_steps": 4}
        if task is Task.INPAINT:
            given["mask_image"] = mask(self.size)
        return {**given, **self.inputs, **changes}

    def images(self, pipe: DiffusionPipeline, seed: int = 0, **changes: Any) -> np.ndarray:
        """The pictures of a call, (B, H, W, C) in [0, 1]."""
        with quiet():
            output = pipe(**self.arguments(seed, **changes))  # type: ignore[operator]
        images: np.ndarray = output.images
        return images


def picture(size: tuple[int, int]) -> Image:
    """A picture with four colours, blurred a little by its size."""
    from PIL import Image

    small = Image.new("RGB", (2, 2))
    small.putdata([(220, 40, 40), (40, 200, 60), (50, 60, 220), (230, 220, 60)])
    return small.resize(size, Image.Resampling.BILINEAR)


def mask(size: tuple[int, int]) -> Image:
    """White in the right half."""
    from PIL import Image

    found = Image.new("L", size)
    found.paste(255, (size[0] // 2, 0, *size))
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Without warnings: a tiny checkpoint may well be unusual.

    Only in the main thread, since the filters of warnings are the whole process's.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
