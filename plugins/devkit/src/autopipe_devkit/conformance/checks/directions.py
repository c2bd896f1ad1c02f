"""Checks that arguments act in the direction that their names imply."""

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
"""The largest ratio between the scales of given latents and of the pipeline's own noise. It is
generous, since a standard deviation can only be estimated roughly from few numbers."""

ALIKE = 0.9999
"""If the cosine of two tensors is larger, one is a multiple of the other, apart from rounding."""

OFF = 1.0
"""The guidance scale at which only the prompt determines the prediction."""

NEARLY_OFF = 1.001
"""A guidance scale at which almost only the prompt determines the prediction."""

NEAR = 0.1
"""The largest distance of the result at `NEARLY_OFF` from that of the prompt alone, as a share of
its distance to that of another prompt. It is about 0.001, or 1 if the scale counts from 0."""

LONG = 8
"""A number of steps after which a multistep solver no longer depends on the first step."""

AWAY = "a green square"
"""The negative prompt."""

FULL = 1.0
"""The strength at which a task keeps least of an image."""


def steps(subject: Subject) -> None:
    """More steps use the network more often, and a call takes the requested number of steps."""
    if not _known(subject, "num_inference_steps"):
        return
    draws = Draws(subject)
    assert draws.denoisers
    whole: dict[str, Any] = {"strength": FULL} if "strength" in subject.taken else {}
    shown = io.StringIO()
    draws.pipe.set_progress_bar_config(disable=False, file=shown)
    shown.truncate(shown.seek(0))  # remove the output of a test write
    count = subject.arguments()["num_inference_steps"]
    draws(**whole)
    totals = {int(total) for total in re.findall(r"100%.* (\d+)/\1 ", shown.getvalue())}
    assert not totals or count in totals, (
        f"num_inference_steps={count} makes {draws.where} take {min(totals)} steps, as its "
        f"progress bar shows"
    )


def _known(subject: Subject, *names: str) -> bool:
    """Whether two values of each argument are known; notes the others as unchecked."""
    present, others = subject.arguments(), subject.alternatives()
    missing = [name for name in names if name not in present or name not in others]
    subject.notes.unchecked += [f"{name}: no two values of it are known" for name in missing]
    return not missing


def guidance(subject: Subject) -> None:
    """A `guidance_scale` of 1 turns off guidance, its cost, and the effect of `negative_prompt`.

    A larger one leads away from the `negative_prompt`, not from the prompt. The effect starts from
    zero at 1, and includes the last step.
    """
    if "negative_prompt" not in subject.taken:
        subject.notes.unchecked.append("guidance: calls take no negative_prompt to compare with")
        return
    if not _known(subject, "guidance_scale", "num_inference_steps"):
        return
    draws = Draws(subject)
    scales = [name for name in subject.taken if name.endswith("guidance_scale")]
    off: dict[str, Any] = dict.fromkeys(scales, OFF)
    # Two texts instead of a text and None: a prior draws noise only if there is a text.
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
    """The larger `strength` is, the less the input of the first step depends on the image."""
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
        """Return how far another image, and another seed, change the first input."""
        found, other = start(value), start(value, **{names[0]: others[names[0]]})
        return _distance(found, other), _distance(found, start(value, seed=1))

    (image, noise), (less_image, more_noise) = map(weights, (low, FULL))
    if not image:
        draws.blame([f"{draws.where} doesn't start from {names[0]}, even at a strength of {low}"])
    assert image * more_noise > less_image * noise, (
        f"{draws.where} departs no further from {names[0]} at a strength of {FULL} than at {low}"
    )


def _distance(one: list[Tensor], other: list[Tensor]) -> float:
    """Return the distance between two inputs of a network."""
    pairs = [(a.double(), b.double()) for a, b in zip(one, other) if a.shape == b.shape]
    return math.sqrt(sum(float((a - b).square().sum()) for a, b in pairs))


def latents(subject: Subject) -> None:
    """Denoising starts from the given `latents`, whatever the seed.

    For tasks without an image, they are scaled like the noise that a call draws itself, if any.
    """
    if not _known(subject, "num_inference_steps"):
        return
    draws = Draws(subject)
    given = draws.other_latents()
    drawn = draws(latents=given)
    starts = {
        number: one
        for number, one in enumerate(_first_asked(draws.denoising(drawn)[0], given))
        if one.shape == given.shape
        and torch.cosine_similarity(one.ravel(), given.ravel(), 0) > ALIKE
    }
    # If the network takes them in another form, check that the seed has no effect.
    started = starts or not drawn.differs(draws(1, latents=given))
    assert started, f"{draws.where} doesn't start from the latents that it is given"
    if any(one.kind == "image" for one in subject.task.inputs):
        return
    own = _first_asked(draws.denoising(draws.base)[0], given)
    for number, start in starts.items():
        if not own[number].std():
            continue  # A call that starts from one value everywhere has no noise to scale.
        times = float(start.std() / given.double().std() / own[number].std())
        assert 1 / SCALED < times < SCALED, (
            f"{draws.where} scales the latents that it is given, and not its own noise, or the "
            f"other way round: what the network is asked is {times:.3g} times as large"
        )


def _first_asked(use: Use, like: Tensor) -> list[Tensor]:
    """Return the input of a network; of tensors with the rank of `like`, only the first rows."""
    return [one[: len(like)].double() if one.ndim == like.ndim else one for one in use.asked]


def size(subject: Subject) -> None:
    """Pictures have the requested height and width, or else those of the image."""
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
    """Return the height and width of pictures (B, H, W, C)."""
    return tuple(made.shape[1:3])
