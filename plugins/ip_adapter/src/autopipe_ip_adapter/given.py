"""What callers give as image prompts: images or their embeddings, one entry per adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.wording import shown
from autopipe_components.steps.checks import check_image

from .adapter_file import AdapterWeights

_AXES = {
    "embedding": "(batch, images, {width})",
    "face": "(batch, images, {width})",
    "states": "(batch, images, patches, {width})",
}


def images_given(image: Any, adapters: Sequence[AdapterWeights]) -> list[Any]:
    """Return the images of each adapter.

    Args:
        image: for a single adapter its image; otherwise a list with an image, or a list of images,
            for each adapter.

    Raises:
        ArgumentError: if there are more or fewer entries than adapters, or an adapter doesn't read
            images.
        ArgumentTypeError: if an entry is not an image.
    """
    given = image if isinstance(image, list) else [image]
    if len(given) != len(adapters):
        raise ArgumentError(
            f"ip_adapter_image has {len(given)} entries for {len(adapters)} IP-Adapters; give an "
            f"image for each of them. Several images for one adapter are a list of their own: "
            f"[[first, second]]"
        )
    for i, (one, adapter) in enumerate(zip(given, adapters)):
        check_image(one, f"ip_adapter_image[{i}]")
        if adapter.image_proj.reads == "face":
            raise ArgumentError(
                f"{adapter.origin} is an IP-Adapter FaceID, which reads what a face recogniser "
                f"makes of a picture; give that as ip_adapter_image_embeds"
            )
    return given


def count_of(images: Any) -> int:
    """Return the number of images of an adapter."""
    if isinstance(images, list):
        return len(images)
    return len(images) if getattr(images, "ndim", 0) == 4 else 1


def check_embeds(name: str, embeds: Any, adapters: Sequence[AdapterWeights]) -> None:
    """Check embeddings: a list with a tensor (batch, images, ..., width) for each adapter.

    Args:
        name: the name of the argument.

    Raises:
        ArgumentTypeError: if it is not a list of tensors.
        ArgumentError: if there are more or fewer than adapters, or a shape doesn't fit.
    """
    if not isinstance(embeds, (list, tuple)) or not all(isinstance(e, Tensor) for e in embeds):
        raise ArgumentTypeError(
            f"{name} is {shown(embeds)}; give a list with a tensor for each IP-Adapter"
        )
    if len(embeds) != len(adapters):
        raise ArgumentError(
            f"{name} has {len(embeds)} tensors for {len(adapters)} IP-Adapters; give one for each"
        )
    for i, (one, adapter) in enumerate(zip(embeds, adapters)):
        projection = adapter.image_proj
        axes = _AXES[projection.reads].format(width=projection.in_width)
        # Embeddings may have a further axis of length 1, which face recognisers give them.
        further = projection.reads != "states" and one.ndim == 4 and one.shape[2] == 1
        fits = further or one.ndim == axes.count(",") + 1
        if not fits or one.shape[-1] != projection.in_width:
            raise ArgumentError(f"{name}[{i}] is {shown(one)}, but {projection.title} takes {axes}")


def halves_given(
    embeds: Any, adapters: Sequence[AdapterWeights], parts: Sequence[int]
) -> list[Any]:
    """Return pairs (negative, positive) of `ip_adapter_image_embeds`, each (prompts, images, ...).

    Args:
        parts: what each tensor consists of, as `GuidedPipeline.guided_halves`; without guidance the
            positive half alone, (1,), so that the negative one is None.

    Raises:
        ArgumentError, ArgumentTypeError: as for `check_embeds`, and if a tensor lacks a part.
    """
    check_embeds("ip_adapter_image_embeds", embeds, adapters)
    count = len(parts)
    for i, one in enumerate(embeds):
        if count > 1 and (not len(one) or len(one) % count):
            raise ArgumentError(
                f"ip_adapter_image_embeds[{i}] is {shown(one)}; with guidance it has {count} parts "
                f"of equal length, as prepare_ip_adapter_image_embeds returns them"
            )
    if count == 1:
        return [(None, one) for one in embeds]
    every = [one.chunk(count) for one in embeds]
    return [(one[parts.index(0)], one[parts.index(1)]) for one in every]


def for_rows(half: Tensor, rows: int) -> Tensor:
    """Repeat the embeddings of each prompt, (prompts, ...), to those of its images, (rows, ...).

    Raises:
        ArgumentError: if the number of prompts doesn't divide `rows`.
    """
    if not len(half) or rows % len(half):
        raise ArgumentError(
            f"ip_adapter_image_embeds are for {len(half)} prompts, but this call draws {rows} "
            f"images; give embeddings for one prompt, or for each of them"
        )
    return half.repeat_interleave(rows // len(half), dim=0)
