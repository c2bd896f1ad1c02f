"""Checks of what must stay as it is: what a mask leaves out, and other results of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from ..samples import KNOWN, batched
from ..subject import Subject
from ..verdict import Unjudged
from ..watching import SEEN, Drawn, Draws
from .calls import BATCHED


def mask(subject: Subject) -> None:
    """What the mask leaves black stays, whatever the prompt or seed; what is white is repainted."""
    name = next(one.name for one in subject.task.inputs if one.kind == "mask")
    draws = Draws(subject)
    white: dict[str, Any] = {name: Image.new("L", subject.size, 255)}
    half, whole = _changed(draws, {}), _changed(draws, white)
    kept = min(one.left for one in half)
    if kept > BATCHED:
        _blame_the_plugin_or_the_network(draws, name, white)
    picture, latents = half
    repainted = picture.right if picture.left <= BATCHED else latents.right
    if repainted <= SEEN:
        draws.blame([f"{draws.where} repaints nothing where {name} is white"])
    if whole[0].left <= SEEN:
        draws.blame([f"{draws.where} repaints no more where {name} is all white"])


class _Change:
    """How far two results are apart in their left half and in their right one."""

    def __init__(self, one: np.ndarray, other: np.ndarray, axis: int) -> None:
        apart = np.moveaxis(np.abs(one - other), axis, 0)
        middle = len(apart) // 2
        # Where the mask changes, its cells may be of either kind.
        margin = int(middle > 2)
        self.left = float(apart[: middle - margin].max())
        self.right = float(apart[middle + margin :].max())


def _changed(draws: Draws, given: dict[str, Any]) -> list[_Change]:
    """What another prompt, or another seed where there is none, changes: pixels and latents."""
    texts = [one.name for one in draws.subject.task.inputs if one.kind == "text"]
    alternatives = draws.subject.alternatives()
    other = {name: alternatives[name] for name in texts if name in alternatives}
    one, latents = draws.latents(**given)
    another, changed = draws.latents(**given, **other, seed=0 if other else 1)
    return [
        _Change(one.made, another.made, axis=2),
        _Change(latents.float().numpy(), changed.float().numpy(), axis=-1),
    ]


def _blame_the_plugin_or_the_network(draws: Draws, name: str, white: dict[str, Any]) -> None:
    message = f"{draws.where} changes what {name} leaves black"
    one, other = (draws.denoising(drawn)[0] for drawn in (draws.base, draws(**white)))
    if any(a.shape == b.shape and not torch.equal(a, b) for a, b in zip(one.asked, other.asked)):
        raise Unjudged(
            f"{message}, as far as can be seen: the {one.component} is given the mask, and "
            f"whether it keeps that part is up to what it learned"
        )
    raise AssertionError(message)


def neighbours(subject: Subject) -> None:
    """A change of the second result's inputs or generator leaves the first one as it is."""
    draws = Draws(subject)
    names = [*batched(subject.task)]
    names += [name for name in KNOWN if name.endswith("prompt") and name in subject.taken]
    alternatives = subject.alternatives()
    present = {**{n: KNOWN[n][0] for n in KNOWN}, **subject.arguments()}
    lists = {name: [present[name]] * 2 for name in dict.fromkeys(names)}

    def drawn(*seeds: int, **changes: Any) -> Drawn:
        generators = [torch.Generator().manual_seed(number) for number in seeds]
        return draws(**{**lists, "generator": generators, **changes})

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
