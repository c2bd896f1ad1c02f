"""Checks that arguments act in the direction that their names say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..subject import Subject
from ..verdict import Unjudged
from ..watching import Draws

ALIKE = 0.9999
"""The cosine between tensors of which one is the other times a number, rounding aside."""

OFF = 1.0
"""The guidance scale at which a prediction is that of the prompt alone."""

NEARLY_OFF = 1.001
"""A guidance scale at which a prediction is nearly that of the prompt alone."""

AWAY = "a green square"
"""What to keep away from."""

FULL = 1.0
"""The strength at which as much of an image goes as a task lets go."""


def steps(subject: Subject) -> None:
    """More steps use the network more often."""
    if not _known(subject, "num_inference_steps"):
        return
    assert Draws(subject).denoisers


def _known(subject: Subject, *names: str) -> bool:
    """Whether two values of each are known; the others are taken down as unchecked."""
    present, others = subject.arguments(), subject.alternatives()
    missing = [name for name in names if name not in present or name not in others]
    subject.notes.unchecked += [f"{name}: no two values of it are known" for name in missing]
    return not missing


def guidance(subject: Subject) -> None:
    """A `guidance_scale` of 1 turns guidance off, with the `negative_prompt` and its cost.

    A larger one goes away from the `negative_prompt`, and not from the prompt.
    """
    if "negative_prompt" not in subject.taken:
        return
    if not _known(subject, "guidance_scale", "num_inference_steps"):
        return
    draws = Draws(subject)
    scales = [name for name in subject.taken if name.endswith("guidance_scale")]
    off: dict[str, Any] = dict.fromkeys(scales, OFF)
    # Two texts and not one and none, since a prior draws noise for one that is there.
    plain, other = (draws(**off, negative_prompt=text) for text in (AWAY, "a cat"))
    assert not plain.differs(other), (
        f"negative_prompt has an effect in {draws.where} although guidance_scale is 1"
    )
    prompt = subject.arguments().get("prompt")
    if prompt is not None:
        near = draws(**{**off, "guidance_scale": NEARLY_OFF}, negative_prompt=AWAY)
        swapped = draws(**off, prompt=AWAY, negative_prompt=prompt)
        if not plain.differs(swapped):
            draws.blame([f"the prompt has no effect in {draws.where}"], plain, swapped)
        towards, away = (np.abs(near.made - one.made).sum() for one in (plain, swapped))
        assert towards < away, f"guidance goes towards the negative_prompt in {draws.where}"
    _, scale = draws.pair("guidance_scale")
    without, with_it = (
        sum(use.rows for use in draws.denoising(drawn))
        for drawn in (plain, draws(guidance_scale=scale))
    )
    assert without < with_it, (
        f"a guidance_scale of 1 costs as much as one of {scale} in {draws.where}: the network is "
        f"asked for {without} rows"
    )


def strength(subject: Subject) -> None:
    """The larger `strength`, the less of the image is in what denoising starts from."""
    if not _known(subject, "strength", "num_inference_steps"):
        return
    draws = Draws(subject)
    names = [one.name for one in subject.task.inputs if one.kind == "image"]
    others = subject.made(subject.size, second=True)
    if not names:
        raise Unjudged(f"{draws.where} has a strength and no image to start from")
    low, _ = draws.pair("strength")

    def start(value: float, seed: int = 0, **given: Any) -> list[Tensor]:
        uses = draws.denoising(draws(seed, strength=value, **given))
        assert uses, f"{draws.where} takes no step at a strength of {value}"
        return uses[0].asked

    def weights(value: float) -> tuple[float, float]:
        """How far another image moves the start, and how far another seed does."""
        found, other = start(value), start(value, **{names[0]: others[names[0]]})
        return _distance(found, other), _distance(found, start(value, seed=1))

    (image, noise), (less_image, more_noise) = map(weights, (low, FULL))
    if not image:
        draws.blame([f"{draws.where} doesn't start from {names[0]}, even at a strength of {low}"])
    assert image * more_noise > less_image * noise, (
        f"{draws.where} departs no further from {names[0]} at a strength of {FULL} than at {low}"
    )


def _distance(one: list[Tensor], other: list[Tensor]) -> float:
    """How far apart what a network was asked is from something else that it was."""
    pairs = [(a.double(), b.double()) for a, b in zip(one, other) if a.shape == b.shape]
    return math.sqrt(sum(float((a - b).square().sum()) for a, b in pairs))


def latents(subject: Subject) -> None:
    """Denoising starts from the `latents` that are given, whatever the seed."""
    if not _known(subject, "num_inference_steps"):
        return
    draws = Draws(subject)
    _, last = draws.latents()
    given = torch.randn(last.shape, generator=torch.Generator().manual_seed(5))
    drawn = draws(latents=given)
    alike = [
        torch.cosine_similarity(one[: len(given)].double().ravel(), given.double().ravel(), dim=0)
        for one in draws.denoising(drawn)[0].asked
        if one.ndim == given.ndim and one[: len(given)].shape == given.shape
    ]
    # Where the network takes them in another form, the seed tells.
    started = any(one > ALIKE for one in alike) or not drawn.differs(draws(1, latents=given))
    assert started, f"{draws.where} doesn't start from the latents that it is given"


def size(subject: Subject) -> None:
    """Pictures are of the height and width asked for, or else as high and wide as the image."""
    draws = Draws(subject)
    width, height = subject.size
    if {"height", "width"} <= set(subject.taken):
        for asked in ((2 * height, width), (height, 2 * width)):
            found = _size(draws(height=asked[0], width=asked[1]).made)
            assert found == asked, (
                f"{draws.where} makes pictures of height and width {found} where height={asked[0]} "
                f"and width={asked[1]} ask for {asked}"
            )
        return
    times, rest = np.divmod(_size(draws.base.made), (height, width))
    if rest.any() or times[0] != times[1]:
        subject.notes.unchecked.append("height and width: pictures are of a size of their own")
        return
    found = _size(draws(**subject.made((width, 2 * height))).made)
    assert found == (times[0] * 2 * height, times[1] * width), (
        f"{draws.where} makes a picture of height and width {found} from an image of "
        f"{(2 * height, width)}"
    )


def _size(made: Any) -> tuple[int, ...]:
    """Height and width of pictures (B, H, W, C)."""
    return tuple(made.shape[1:3])
