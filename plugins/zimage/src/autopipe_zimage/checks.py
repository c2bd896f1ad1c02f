"""Checks of the network: its config, and the shapes of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from autopipe.errors import ArgumentError, ConfigError
from autopipe.values import Range
from autopipe.wording import shown
from autopipe_components.dit import Grid, check_tensors, filled_length, grid_of
from autopipe_components.networks.limits import LAYERS, LIMITS, WIDTH

MULTIPLE = 32
"""What the lengths of captions and images are multiples of, in tokens."""

_AXES = ("moments", "rows", "columns")
"""The axes of a position."""

_PATCHES = Range(1, 63, filled=True, longest=8)

CONFIG_LIMITS: Mapping[str, Range] = {
    **LIMITS,
    **dict.fromkeys(("all_patch_size", "all_f_patch_size"), _PATCHES),
    **dict.fromkeys(("dim", "n_heads", "cap_feat_dim", "axes_dims", "axes_lens"), WIDTH),
    **dict.fromkeys(("n_layers", "n_refiner_layers"), LAYERS),
    "rope_theta": Range(1, 1e12),
    "t_scale": Range(-1e9, 1e9),
}


def check_config(config: Any) -> None:
    """Check entries that have to fit together.

    Raises:
        ConfigError: if they don't.
    """
    head, axes = config.dim / config.n_heads, [*config.axes_dims]
    if len(axes) != len(_AXES) or sum(axes) != head or any(width % 2 for width in axes):
        raise ConfigError(
            f"axes_dims is {shown(axes)}; give {len(_AXES)} even numbers whose sum is "
            f"dim / n_heads, {head:g}"
        )
    for name, other in (("axes_lens", "axes_dims"), ("all_f_patch_size", "all_patch_size")):
        if len(config[name]) != len(config[other]):
            raise ConfigError(f"{name} is {shown(config[name])}; give as many as in {other}")


def longest_caption(config: Any) -> int:
    """Return the most tokens of a caption for a network with this config."""
    # The first moment is 1, and the image comes at the one after the filled caption.
    return max(int(config.axes_lens[0]) - 2, 0) // MULTIPLE * MULTIPLE


def check_shapes(
    config: Any, images: Sequence[Tensor], captions: Sequence[Tensor], patch: int, frames: int
) -> list[Grid]:
    """Check the inputs of a call, and return the grid of patches of each image.

    Raises:
        ArgumentError: if they don't fit.
    """
    known = [*zip(config.all_patch_size, config.all_f_patch_size)]
    if (patch, frames) not in known:
        raise ArgumentError(
            f"patch_size and f_patch_size are {shown(patch)} and {shown(frames)}; this network has "
            f"layers for {shown(known)}"
        )
    for name, given in (("x", images), ("cap_feats", captions)):
        # A tensor with an axis for the batch serves as well.
        is_batch = isinstance(given, Tensor) and given.ndim > 1
        check_tensors(name, [*given] if is_batch else given)
    if len(images) != len(captions) or not len(images):
        raise ArgumentError(
            f"got {len(images)} images and {len(captions)} captions; give one for each"
        )
    channels, width, sides = config.in_channels, config.cap_feat_dim, (frames, patch, patch)
    grids = []
    for image, caption in zip(images, captions):
        fits = image.ndim == 1 + len(sides) and image.shape[0] == channels
        fits = fits and all(n and n % side == 0 for n, side in zip(image.shape[1:], sides))
        if not fits or caption.ndim != 2 or caption.shape[1] != width or not len(caption):
            raise ArgumentError(
                f"x and cap_feats have tensors of shape {tuple(image.shape)} and "
                f"{tuple(caption.shape)}; this network takes ({channels}, frames, height, width), "
                f"divisible by {sides}, and (tokens, {width})"
            )
        grid = grid_of(image, patch, frames)
        last = (filled_length(len(caption), MULTIPLE) + 1 + grid[0], *grid[1:])
        for name, count, most in zip(_AXES, last, config.axes_lens):
            if count > most:
                raise ArgumentError(
                    f"a caption of {len(caption)} tokens and an image of {grid[1]} x {grid[2]} "
                    f"patches need {count} {name}, but this network knows {most}; make them smaller"
                )
        grids.append(grid)
    return grids
