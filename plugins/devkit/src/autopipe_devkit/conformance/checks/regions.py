"""Checks of what must not change: unmasked regions, and the other results of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from ..samples import KNOWN, batched, generators
from ..subject import Subject
from ..verdict import Unjudged
from ..watching import SEEN, Drawn, Draws
from .calls import BATCHED
from .outputs import ROUNDING


def mask(subject: Subject) -> None:
    """Black regions of the mask keep the image, whatever the prompt or seed; white ones change."""
    name = next(one.name for one in subject.task.inputs if one.kind == "mask")
    draws = Draws(subject)
    white: dict[str, Any] = {name: Image.new("L", subject.size, 255)}
    texts = _others(draws, "text")
    half = _changes(draws, {}, texts)
    kept = next((change for change in half if change.black <= BATCHED), None)
    if kept is None:
        _blame(draws, name, white)
        return
    if kept.white <= SEEN:
        draws.blame([f"{draws.where} repaints nothing where {name} is white"])
    if _changes(draws, white, texts)[0].black <= SEEN:
        draws.blame([f"{draws.where} repaints no more where {name} is all white"])
    images = _others(draws, "image")
    if images and _changes(draws, {}, images)[half.index(kept)].black <= SEEN:
        draws.blame([f"{draws.where} shows nothing of the image where {name} is black"])
    given = [subject.arguments()[image] for image in images]
    picture = np.asarray(given[0]) / 255 if given and isinstance(given[0], Image.Image) else None
    if kept is half[0] and picture is not None and picture.shape == draws.base.made.shape[1:]:
        apart = _Change(draws.base.made, picture[None], axis=2).black
        assert apart <= ROUNDING, f"{draws.where} changes the image where {name} is black"


class _Change:
    """The largest differences of two results where the mask is black (left) and white (right).

    Up to `margin` cells on either side of the boundary are ignored.
    """

    def __init__(self, one: np.ndarray, other: np.ndarray, axis: int, margin: int = 0) -> None:
        apart = np.moveaxis(np.abs(one - other), axis, 0)
        middle = len(apart) // 2
        self.black = float(apart[: middle - margin].max())
        self.white = float(apart[middle + margin :].max())


def _changes(draws: Draws, given: dict[str, Any], other: dict[str, Any]) -> list[_Change]:
    """Return what `other` arguments, or else another seed, change in pixels and in latents.

    Args:
        given: the arguments of both calls.
    """
    one, latents = draws.latents(**given)
    another, changed = draws.latents(**given, **other, seed=0 if other else 1)
    found = [_Change(one.made, another.made, axis=2)]
    latents, changed = (cells_of(each, one.made.shape) for each in (latents, changed))
    if latents.ndim == 4:
        # Cells that span several pixels may be repainted whole, in Kandinsky one more.
        width = latents.shape[-1]
        margin = int(width > 5 and width != one.made.shape[2])
        arrays = (latents.float().numpy(), changed.float().numpy())
        found.append(_Change(*arrays, axis=-1, margin=margin))
    return found


def cells_of(latents: torch.Tensor, made: tuple[int, ...]) -> torch.Tensor:
    """Return latents that are tokens (B, N, C), row by row, as cells (B, C, h, w); others as given.

    Args:
        made: the shape of the pictures, (B, H, W, C).
    """
    if latents.ndim != 3:
        return latents
    rows = round((latents.shape[1] * made[1] / made[2]) ** 0.5)
    if not rows or latents.shape[1] % rows:
        return latents
    return torch.unflatten(latents.transpose(1, 2), 2, (rows, -1))


def _others(draws: Draws, kind: str) -> dict[str, Any]:
    """Return other values for the task's inputs of a kind."""
    alternatives = draws.subject.alternatives()
    names = [one.name for one in draws.subject.task.inputs if one.kind == kind]
    return {name: alternatives[name] for name in names if name in alternatives}


def _blame(draws: Draws, name: str, white: dict[str, Any]) -> None:
    """Fail because a black region changed; as unjudged if the network is given the mask."""
    message = f"{draws.where} changes what {name} leaves black"
    one, other = (draws.denoising(drawn)[0] for drawn in (draws.base, draws(**white)))
    if any(a.shape == b.shape and not torch.equal(a, b) for a, b in zip(one.asked, other.asked)):
        raise Unjudged(
            f"{message}, as far as can be seen: the {one.component} is given the mask, and "
            f"whether it keeps that part is up to what it learned"
        )
    raise AssertionError(message)


def neighbours(subject: Subject) -> None:
    """Other inputs or another generator for the second result don't change the first one."""
    draws = Draws(subject)
    names = [*batched(subject.task), *subject.made(subject.size)]
    names += [name for name in KNOWN if name.endswith("prompt") and name in subject.taken]
    alternatives = subject.alternatives()
    present = {**{n: KNOWN[n][0] for n in KNOWN}, **subject.arguments()}
    lists = {name: [present[name]] * 2 for name in dict.fromkeys(names)}

    def drawn(*seeds: int, **changes: Any) -> Drawn:
        return draws(**{**lists, "generator": generators(*seeds), **changes})

    base = drawn(0, 1)
    found = {"generator": drawn(0, 2)}
    for name in lists:
        if name in alternatives:
            found[name] = drawn(0, 1, **{name: [present[name], alternatives[name]]})
    faults = []
    for name, other in found.items():
        first, second = np.abs(base.made - other.made).reshape(2, -1).max(axis=1)
        if first > BATCHED:
            faults.append(f"the second {name} of a list changes the first result in {draws.where}")
        if second <= SEEN:
            faults.append(f"the second {name} of a list has no effect in {draws.where}")
    if any("changes" in one for one in faults):
        raise AssertionError("\n".join(faults))
    draws.blame(faults, base, *found.values())
