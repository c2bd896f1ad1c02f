"""The classes of pixels, and how likely they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.wording import shown
from autopipe_components.steps.checks import check_number


def truncate(log_probabilities: Tensor, rate: float) -> Tensor:
    """Return log probabilities (B, classes, pixels), minus infinity for unlikely classes.

    Of each pixel the likeliest classes are kept, up to the one with which their sum reaches `rate`
    (truncation sampling; Gu et al. 2022, arXiv:2111.14822).
    """
    ordered, order = log_probabilities.sort(dim=1, descending=True)
    is_below = ordered.exp().cumsum(dim=1) < rate
    is_kept = torch.cat([torch.ones_like(is_below[:, :1]), is_below[:, :-1]], dim=1)
    return log_probabilities.masked_fill(~is_kept.gather(1, order.argsort(1)), -torch.inf)


def check_rate(rate: Any) -> None:
    """Check that a truncation rate is a number in [0, 1].

    Raises:
        ArgumentError: if it is not.
    """
    check_number("truncation_rate", rate)
    if not 0 <= rate <= 1:
        raise ArgumentError(f"truncation_rate is {rate}; give a number in [0, 1]")


def check_classes(latents: Any, shape: tuple[int, ...], mask: int) -> None:
    """Check that latents are classes from 0 to `mask`, in the given shape.

    Raises:
        ArgumentError: if they are not.
    """
    are_whole = isinstance(latents, Tensor) and latents.dtype == torch.int64
    if not are_whole or latents.shape != shape:
        raise ArgumentError(
            f"latents are {shown(latents)}; this model takes classes {shape} of int64"
        )
    if bool(((latents < 0) | (latents > mask)).any()):
        raise ArgumentError(
            f"latents are from {int(latents.min())} to {int(latents.max())}; the classes of this "
            f"model are 0 to {mask}"
        )


def check_fit(transformer: Any, scheduler: Any, vectors: int) -> None:
    """Check that transformer, scheduler and a codebook of `vectors` have the same classes.

    Raises:
        ArgumentError: if they have not, or the scheduler has more timesteps than the transformer.
    """
    classes, trained = transformer.config.num_vector_embeds, scheduler.config
    if "num_vec_classes" not in trained:
        raise ArgumentError(
            f"the scheduler is {type(scheduler).__name__}, which has no classes; use "
            f"VQDiffusionScheduler"
        )
    if classes != trained.num_vec_classes or classes - 1 > vectors:
        raise ArgumentError(
            f"the transformer has {classes} classes, the scheduler {trained.num_vec_classes}, and "
            f"the codebook of the vqvae {vectors} vectors, one for each class but the mask; load "
            f"components of one checkpoint"
        )
    if trained.num_train_timesteps > transformer.config.num_embeds_ada_norm:
        raise ArgumentError(
            f"the scheduler has {trained.num_train_timesteps} timesteps and the transformer "
            f"{transformer.config.num_embeds_ada_norm}; load components of one checkpoint"
        )
