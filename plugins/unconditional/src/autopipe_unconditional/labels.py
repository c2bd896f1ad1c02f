"""The classes of a call: those that the caller gives, or drawn ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import shown
from autopipe_components.noise import sources
from autopipe_components.steps.checks import check_tensor, check_whole
from autopipe_components.steps.codec import Generators

Labels: TypeAlias = int | Sequence[int] | Tensor | None
"""The number of a class, or several; a tensor (N,), or (N, D) for networks that take vectors."""


def rows_of(labels: Labels, batch_size: int) -> int:
    """Return the number of images of a call.

    Args:
        batch_size: that number; 1 means one image for each of several `labels`.

    Raises:
        ArgumentError: if there are several classes, and not one for each image.
    """
    several = isinstance(labels, (list, tuple, Tensor)) and not _is_one(labels)
    given = len(labels) if several else 1  # type: ignore[arg-type]
    if given not in (1, batch_size) and batch_size != 1:
        raise ArgumentError(
            f"batch_size is {batch_size} for {given} class_labels; give one class for all images, "
            f"or one for each"
        )
    return max(given, batch_size)


def check_labels(labels: Labels, network: Any, count: int | None) -> None:
    """Check that `network` takes these classes.

    Args:
        network: a network with `class_embedding`, which is None without classes.
        count: the number of its classes; None if it takes any numbers or vectors.

    Raises:
        ArgumentError: if it has no classes, needs some, or has not these.
        ArgumentTypeError: if `labels` are neither whole numbers nor a tensor.
    """
    embedding = network.class_embedding
    if labels is None:
        if embedding is not None and count is None:
            raise ArgumentError(f"this {type(network).__name__} needs class_labels; give them")
        return
    if embedding is None:
        raise ArgumentError(
            f"class_labels is {shown(labels)}, and this {type(network).__name__} has no classes; "
            f"leave class_labels out"
        )
    if isinstance(labels, Tensor):
        check_tensor("class_labels", labels)
        takes_vectors = isinstance(embedding, nn.Identity)
        if labels.ndim > 1 + takes_vectors or not labels.numel():
            raise ArgumentError(
                f"class_labels has the shape {tuple(labels.shape)}; give one number for each image"
            )
        if count is None:
            return
        if labels.is_floating_point():
            raise ArgumentTypeError(
                f"class_labels has the dtype {labels.dtype}; give whole numbers, the classes"
            )
        numbers = labels.flatten().tolist()
    else:
        numbers = list(labels) if isinstance(labels, (list, tuple)) else [labels]
        for one in numbers:
            check_whole("class_labels", one)
    if not numbers:
        raise ArgumentError("class_labels is empty; give at least one class")
    for one in numbers:
        if count is not None and not 0 <= one < count:
            raise ArgumentError(
                f"class_labels has {shown(one)}; this network has the classes 0 to {count - 1}"
            )


def labels_for(
    labels: Labels,
    rows: int,
    count: int | None,
    generator: Generators,
    device: torch.device,
) -> Tensor | None:
    """Return a class for each image, (B,); None if there are none to give.

    Args:
        labels: checked classes; None draws one for each image.
        rows: the number of images.
        count: the number of classes to draw from; None for none.
        generator: what draws: one generator, or a list with one for each image.
    """
    if labels is None:
        if count is None:
            return None
        drawn_by = sources(generator, rows)
        size = rows // len(drawn_by)
        return torch.cat([_draw(size, count, one).to(device) for one in drawn_by])
    given = torch.as_tensor(labels, device=device)
    given = given.reshape(1) if given.ndim == 0 else given
    return given if len(given) == rows else given.expand(rows, *given.shape[1:])


def _draw(size: int, count: int, generator: torch.Generator | None) -> Tensor:
    where = "cpu" if generator is None else generator.device
    return torch.randint(0, count, (size,), generator=generator, device=where)


def _is_one(labels: Sequence[int] | Tensor) -> bool:
    return isinstance(labels, Tensor) and labels.ndim == 0
