"""Other forms of the inputs of a call: pictures as arrays or tensors, latents, embeddings."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch

from autopipe.errors import ArgumentError, AutopipeError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.tasks import Input

from .samples import MADE
from .subject import Subject, quiet

EMBEDS = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
)
"""The results of `encode_prompt` in their order, and the arguments of a call that take them."""


def pictures_of(subject: Subject) -> list[Input]:
    """Return the inputs of the task that are pictures or masks."""
    return [one for one in subject.task.inputs if one.kind in MADE]


def as_array(picture: Any) -> np.ndarray:
    """Return a picture as (1, H, W, C) in [0, 1], or (1, H, W) if it has one channel."""
    return np.asarray(picture, np.float32)[None] / 255


def as_tensor(picture: Any) -> torch.Tensor:
    """Return a picture as (1, C, H, W) in [0, 1]."""
    array = as_array(picture)
    return torch.from_numpy(array[..., None] if array.ndim == 3 else array).permute(0, 3, 1, 2)


def latents(subject: Subject, pipe: DiffusionPipeline) -> torch.Tensor | None:
    """Return random latents of the shape that calls take; None if calls take or show none.

    The latents that the step callback of a chain of stages shows may be others than those that its
    calls take.
    """
    if not {"latents", "callback_on_step_end"} <= set(subject.taken):
        return None
    seen: list[torch.Tensor] = []

    def watch(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        seen.append(tensors["latents"])

    subject.output(pipe, callback_on_step_end=watch)
    like = seen[0]
    made = random_like(like, seed=7).to(like)
    return made if takes_latents(subject, pipe, made) else None


def random_like(like: torch.Tensor, seed: int) -> torch.Tensor:
    """Return random latents in the shape of `like`; for whole numbers, in its range."""
    generator = torch.Generator().manual_seed(seed)
    if like.is_floating_point():
        return torch.randn(like.shape, generator=generator)
    least, most = int(like.min()), int(like.max())
    return torch.randint(least, most + 1, like.shape, generator=generator).to(like.dtype)


def takes_latents(subject: Subject, pipe: DiffusionPipeline, made: torch.Tensor) -> bool:
    """Whether calls take latents of the shape of `made`; asked of chains of stages alone."""
    if type(pipe).stage_classes() == (type(pipe),):
        return True
    try:
        subject.output(pipe, latents=made)
    except ArgumentError:
        return False
    return True


def embeds(subject: Subject, pipe: DiffusionPipeline) -> dict[str, Any]:
    """Return the prompt as embedding arguments of a call; empty if there are none."""
    encode = getattr(pipe, "encode_prompt", None)
    if "prompt_embeds" not in subject.taken or encode is None:
        return {}
    wanted = {
        "prompt": subject.arguments().get("prompt"),
        "device": None,
        "num_images_per_prompt": 1,
        "do_classifier_free_guidance": True,
    }
    known = inspect.signature(encode).parameters
    try:
        with quiet(), torch.no_grad():
            encoded = encode(**{name: one for name, one in wanted.items() if name in known})
    except (AutopipeError, TypeError):
        return {}
    found = {n: one for n, one in zip(EMBEDS, encoded) if n in subject.taken and one is not None}
    return {"prompt": None, **found}
