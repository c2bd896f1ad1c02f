"""Checks that arguments act in the direction that their names say."""

from __future__ import annotations

import io
import math
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..subject import Subject
from ..verdict import Unjudged
from ..watching import SEEN, Draws, Use

SCALED = 1.5
"""By how much the latents of a call may seem to be scaled otherwise than its own noise, whose
standard deviation is known only roughly from few numbers."""

ALIKE = 0.9999
"""The cosine between tensors of which one is the other times a number, rounding aside."""

OFF = 1.0
"""The guidance scale at which a prediction is that of the prompt alone."""

NEARLY_OFF = 1.001
"""A guidance scale at which a prediction is nearly that of the prompt alone."""

NEAR = 0.1
"""How far a result at `NEARLY_OFF` may be from that of the prompt alone, of the distance to that of
another prompt. It is about a thousandth, and all of it if the scale counts from 0."""

LONG = 8
"""So many steps that a solver which looks back has forgotten the first one at the last."""

AWAY = "a green square"
"""What to keep away from."""

FULL = 1.0
"""The strength at which as much of an image goes as a task lets go."""


def steps(subject: Subject) -> None:
    """More steps use the network more often, and a call takes as many as asked for."""
    if not _known(subject, "num_inference_steps"):
        return
    draws = Draws(subject)
    assert draws.denoisers
    whole: dict[str, Any] = {"strength": FULL} if "strength" in subject.taken else {}
    shown = io.StringIO()
    draws.pipe.set_progress_bar_config(disable=False, file=shown)
    shown.truncate(shown.seek(0))  # what setting it showed, to see that it can
    count = subject.arguments()["num_inference_steps"]
    draws(**whole)
    totals = {int(total) for total in re.findall(r"100%.* (\d+)/\1 ", shown.getvalue())}
    assert not totals or count in totals, (
        f"num_inference_steps={count} makes {draws.where} take {min(totals)} steps, as its "
        f"progress bar shows"
    )


def _known(subject: Subject, *names: str) -> bool:
    """Whether two values of each are known; the others are taken down as unchecked."""
    present, others = subject.arguments(), subject.alternatives()
    missing = [name for name in names if name not in present or name not in others]
    subject.notes.unchecked += [f"{name}: no two values of it are known" for name in missing]
    return not missing


def guidance(subject: Subject) -> None:
    """A `guidance_scale` of 1 turns guidance off, with the `negative_prompt` and its cost.

    A larger one goes away from the `negative_prompt`, and not from the prompt. It begins at 1, and
    acts in the last step too.
    """
    if "negative_prompt" not in subject.taken:
        subject.notes.unchecked.append("guidance: calls take no negative_prompt to compare with")
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
        assert towards <= NEAR * away, (
            f"a guidance_scale of {NEARLY_OFF} acts in {draws.where} as if it were much larger: "
            f"1 must mean the prompt alone, and what is above 1 goes on from there"
        )
    less, scale = draws.pair("guidance_scale")
    _, held = draws.latents(num_inference_steps=LONG)
    (weak, last), (strong, other_last) = (
        draws.latents(held, guidance_scale=one, num_inference_steps=LONG) for one in (less, scale)
    )
    if float((last - other_last).abs().max()) <= SEEN:
        draws.blame(
            [f"guidance_scale has no effect in the last step of {draws.where}"], weak, strong
        )
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
    """Denoising starts from the `latents` that are given, whatever the seed.

    Without an image they are scaled as the noise of a call itself.
    """
    if not _known(subject, "num_inference_steps"):
        return
    draws = Draws(subject)
    _, last = draws.latents()
    given = torch.randn(last.shape, generator=torch.Generator().manual_seed(5))
    drawn = draws(latents=given)
    starts = {
        number: one
        for number, one in enumerate(_first_asked(draws.denoising(drawn)[0], given))
        if one.shape == given.shape
        and torch.cosine_similarity(one.ravel(), given.ravel(), 0) > ALIKE
    }
    # Where the network takes them in another form, the seed tells.
    started = starts or not drawn.differs(draws(1, latents=given))
    assert started, f"{draws.where} doesn't start from the latents that it is given"
    if any(one.kind == "image" for one in subject.task.inputs):
        return
    own = _first_asked(draws.denoising(draws.base)[0], given)
    for number, start in starts.items():
        times = float(start.std() / given.double().std() / own[number].std())
        assert 1 / SCALED < times < SCALED, (
            f"{draws.where} scales the latents that it is given, and not its own noise, or the "
            f"other way round: what the network is asked is {times:.3g} times as large"
        )


def _first_asked(use: Use, like: Tensor) -> list[Tensor]:
    """What a network was asked; of tensors like `like` the first rows."""
    return [one[: len(like)].double() if one.ndim == like.ndim else one for one in use.asked]


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
