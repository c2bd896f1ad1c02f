"""Say what a picture shows, by its pixels alone: colours by distance, shapes by overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .shapes import COLOURS, OUTLINES, POSITIONS, SIZE, Point, Scene, draw

Pixels = NDArray[np.float64]
Mask = NDArray[np.bool_]

COLOUR_TOLERANCE = 51.0
"""Largest distance (Euclidean, in RGB of 0 to 255) from a named colour that still bears its name.

The two nearest colours are 102 apart, so that no colour can bear two names.
"""
OBJECT_CONTRAST = 50.0
"""Distance from the background's colour at which a pixel belongs to the object."""
LEAST_OVERLAP = 0.75
"""Intersection over union with the drawn shape below which a blob has no shape."""
LEAST_LEAD = 0.05
"""How much better than the second best shape the best one must overlap to be named."""
LEAST_AREA = 60
"""Pixels below which there is no object; the smallest shape that is drawn covers about 100."""
MOST_CLUTTER = 0.12
"""Share of the object's pixels that may lie apart from its largest piece."""
CENTRE_RADIUS = 6.0
"""Offsets from the middle, in pixels, of the centre; drawn ones end at 2 or begin at 9.5."""


@dataclass(frozen=True)
class Finding:
    """What a picture shows; None for what can't be told."""

    shape: str | None = None
    colour: str | None = None
    background: str | None = None
    position: str | None = None
    overlap: float = 0.0
    mask: Mask | None = None


def judge(picture: Image.Image) -> Finding:
    """Find the one object of a 64x64 picture and name its shape, colour, place and background."""
    pixels = np.asarray(picture.convert("RGB").resize((SIZE, SIZE)), dtype=np.float64)
    border = np.concatenate([pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3)])
    border = np.concatenate([border, pixels[:, :2].reshape(-1, 3), pixels[:, -2:].reshape(-1, 3)])
    ground = np.median(border, axis=0)
    background = nearest_colour(ground)
    rough = np.linalg.norm(pixels - ground, axis=2) > OBJECT_CONTRAST
    if rough.sum() < LEAST_AREA:
        return Finding(background=background)
    paint = np.median(pixels[inner(largest_piece(rough))], axis=0)
    # A pixel on the edge belongs to the object if it has more of its colour than of the ground's.
    share = (pixels - ground) @ (paint - ground) / ((paint - ground) ** 2).sum()
    everything = (share > 0.5) & rough
    mask = largest_piece(everything)
    if mask.sum() < LEAST_AREA or everything.sum() > (1 + MOST_CLUTTER) * mask.sum():
        return Finding(background=background, mask=mask)
    overlaps = {shape: intersection_over_union(mask, fitted(shape, mask)) for shape in OUTLINES}
    second, first = sorted(overlaps, key=overlaps.__getitem__)[-2:]
    overlap, lead = overlaps[first], overlaps[first] - overlaps[second]
    return Finding(
        shape=first if overlap >= LEAST_OVERLAP and lead >= LEAST_LEAD else None,
        colour=nearest_colour(paint),
        background=background,
        position=nearest_position(mask),
        overlap=overlap,
        mask=mask,
    )


def nearest_colour(rgb: Pixels) -> str | None:
    """The named colour within `COLOUR_TOLERANCE` of an RGB value."""
    distances = {name: float(np.linalg.norm(rgb - c)) for name, c in COLOURS.items()}
    name = min(distances, key=distances.__getitem__)
    return name if distances[name] <= COLOUR_TOLERANCE else None


def fitted(shape: str, mask: Mask) -> Mask:
    """A shape, its proportions kept, drawn with the area and the centroid of the mask.

    Both are means over all pixels. The extent, a matter of the few outermost ones, would let a
    bump of one pixel spoil the fit: it costs a small square a fifth of its overlap.
    """
    area, x, y = _AREAS[shape]
    rows, columns = np.nonzero(mask)
    radius = float(np.sqrt(len(rows) / area))
    centre = (columns.mean() + 0.5 - radius * x, rows.mean() + 0.5 - radius * y)
    scene = Scene(shape, "white", "black", centre, radius, "centre", "medium")
    return np.asarray(draw(scene).convert("L")) > 127


def _area_and_centroid(points: Sequence[Point]) -> tuple[float, float, float]:
    """Area and centroid (x, y) of a polygon, by Green's theorem."""
    x, y = np.array(points).T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    cross = x * next_y - next_x * y
    area = cross.sum() / 2
    centroid = ((x + next_x) * cross).sum() / 6 / area, ((y + next_y) * cross).sum() / 6 / area
    return abs(float(area)), float(centroid[0]), float(centroid[1])


_AREAS = {shape: _area_and_centroid(points) for shape, points in OUTLINES.items()}
"""Of each shape at a radius of one: its area and its centroid."""


def nearest_position(mask: Mask) -> str:
    """Where the mask's box stands in the picture."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x = (columns[0] + columns[-1] + 1 - SIZE) / 2
    y = (rows[0] + rows[-1] + 1 - SIZE) / 2
    if max(abs(x), abs(y)) <= CENTRE_RADIUS:
        return "centre"
    direction = (int(np.sign(x)), 0) if abs(x) > abs(y) else (0, int(np.sign(y)))
    return next(name for name, place in POSITIONS.items() if place == direction)


def intersection_over_union(one: Mask, other: Mask) -> float:
    """How well two masks agree: 0 for disjoint ones, 1 for equal ones."""
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 0.0


def inner(mask: Mask) -> Mask:
    """The mask without its edge pixels, or the whole mask where nothing else is left."""
    padded = np.pad(mask, 1)
    core = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return core if core.any() else mask


def grown(mask: Mask, pixels: int) -> Mask:
    """The mask and everything within `pixels` steps of it, diagonal ones included."""
    for _ in range(pixels):
        padded = np.pad(mask, 1)
        height, width = mask.shape
        mask = np.any(
            [padded[r : r + height, c : c + width] for r in range(3) for c in range(3)], axis=0
        )
    return mask


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece of a mask (pixels that touch at a side or corner)."""
    left, best = mask.copy(), np.zeros_like(mask)
    while left.sum() > best.sum():
        piece = np.zeros_like(mask)
        piece.flat[np.argmax(left)] = True
        while (spread := grown(piece, 1) & left).sum() > piece.sum():
            piece = spread
        left &= ~piece
        if piece.sum() > best.sum():
            best = piece
    return best
