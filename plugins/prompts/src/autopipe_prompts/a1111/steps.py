"""Predictions of prompts that are combined by `AND`, or change from step to step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from autopipe.attaching.attachment import Predict
from autopipe.errors import ArgumentError
from autopipe_components.guided import GuidedPipeline
from autopipe_components.latent.steps import LatentPipeline
from autopipe_components.steps.guidance import double, half_of

from .parts import Part, parts_of
from .schedule import Node, changes, text_at, tree_of


class Steps:
    """Which text of its prompts a call encodes.

    Attributes:
        steps: the number of steps.
        step: the index of the current one.
        part: the index of the part between `AND`s.
        prompts: the prompts that were encoded, each as its parts.
    """

    def __init__(self, steps: int) -> None:
        self.steps, self.step, self.part = steps, 0, 0
        self.prompts: dict[str, list[tuple[float, list[Node]]]] = {}

    def text_of(self, prompt: str, parts: Sequence[Part]) -> str:
        """Return the current text of a prompt."""
        if prompt not in self.prompts:
            self.prompts[prompt] = [(one.weight, tree_of(one.text)) for one in parts]
        return self._text(self.prompts[prompt])

    def _text(self, parts: Sequence[tuple[float, list[Node]]]) -> str:
        _, nodes = parts[self.part if self.part < len(parts) else 0]
        return text_at(nodes, self.step, self.steps)

    @property
    def texts(self) -> tuple[str, ...]:
        """The current texts of all prompts."""
        return tuple(map(self._text, self.prompts.values()))

    @property
    def parts(self) -> int:
        """The most parts of a prompt."""
        return max((len(one) for one in self.prompts.values()), default=1)

    @property
    def are_needed(self) -> bool:
        """Whether a prompt has several parts, or changes."""
        return self.parts > 1 or any(
            changes(nodes) for one in self.prompts.values() for _, nodes in one
        )

    def weights_of(self, prompt: str | Sequence[str]) -> list[list[float]]:
        """Return the weight of each part, for each of the prompts of the call."""
        prompts = [prompt] if isinstance(prompt, str) else prompt
        found = [[one.weight for one in parts_of(text)] for text in prompts]
        return [[*one, *[0.0] * (self.parts - len(one))] for one in found]


def predictor(
    name: str, steps: Steps, run: Any, tensors: Any, predict: Predict
) -> Callable[[int, Tensor], Tensor]:
    """Return the function that predicts with the texts of each step.

    Args:
        name: the name of the add-on, for messages.
        tensors: the tensors of the call, of which those of the prompts are replaced for each
            prediction.
        predict: predicts with the tensors as they are.

    Raises:
        ArgumentError: if the pipeline doesn't denoise latents; or if prompts are combined, and
            there is no guidance, or one of more parts than the two halves.
    """
    if not isinstance(run, LatentPipeline):
        raise ArgumentError(
            f"{name} combines and changes prompts for pipelines that denoise latents, which a "
            f"{type(run).__name__} doesn't; leave AND and [from:to:0.5] out"
        )
    if steps.parts > 1 and not run.do_classifier_free_guidance:
        raise ArgumentError(
            "AND combines the differences that prompts make to the negative prompt, which this "
            "call doesn't use; give a guidance_scale above 1"
        )
    if steps.parts > 1 and run.guided_halves != GuidedPipeline.guided_halves:
        raise ArgumentError(
            f"AND combines the predictions of two halves, with the prompt and without, and the "
            f"steps of a {type(run).__name__} have {len(run.guided_halves)} parts; write one prompt"
        )
    factor = run.vae_scale_factor
    height, width = (length * factor for length in tensors["latents"].shape[-2:])
    known: dict[tuple[str, ...], dict[str, Any]] = {steps.texts: {}}
    weights = steps.weights_of(run.call.prompt or "") if steps.parts > 1 else []

    def conditioning(part: int) -> dict[str, Any]:
        """Return the tensors of the prompts that replace those of the call."""
        steps.part = part
        texts = steps.texts
        if texts not in known:
            known[texts] = run.prepare_conditioning(height, width)
        return known[texts]

    def stepped(step: int, timestep: Tensor) -> Tensor:
        order = run.scheduler.order
        steps.step, steps.steps = step // order, max(run.num_timesteps // order, 1)
        if steps.parts == 1:
            with _replaced(tensors, conditioning(0)):
                return predict(step, timestep)
        return _combined(run, tensors, predict, step, timestep, conditioning, weights)

    return stepped


def _combined(
    run: GuidedPipeline,
    tensors: Any,
    predict: Predict,
    step: int,
    timestep: Tensor,
    conditioning: Callable[[int], dict[str, Any]],
    weights: Sequence[Sequence[float]],
) -> Tensor:
    """Return `negative + scale * sum of weight * (part - negative)` over the parts of a prompt."""
    if run.contrast is not None:
        raise ArgumentError(
            "AND combines predictions, and so does perturbed-attention guidance, each by a formula "
            "of its own; switch one of them off"
        )
    rows = len(tensors["latents"])
    chosen, run.halves = run.halves, "positive"
    try:
        first = conditioning(0)
        with _replaced(tensors, first):
            negative = {
                name: double(half_of(one, rows, 0))
                for name, one in tensors.items()
                if name != "latents" and isinstance(one, Tensor) and len(one) == 2 * rows
            }
            towards = [predict(step, timestep)]
            with _replaced(tensors, negative):
                without = predict(step, timestep)
        for part in range(1, len(weights[0])):
            with _replaced(tensors, conditioning(part)):
                towards.append(predict(step, timestep))
    finally:
        run.halves = chosen
    factors = without.new_tensor(weights).repeat_interleave(rows // len(weights), dim=0)
    shape = (rows, *[1] * (without.ndim - 1))
    mixed = without + sum(
        factor.reshape(shape) * (one - without) for factor, one in zip(factors.T, towards)
    )
    return mixed if chosen == "positive" else run.apply_guidance(torch.cat([without, mixed]))


@contextmanager
def _replaced(tensors: Any, others: dict[str, Any]) -> Iterator[None]:
    """Replace entries of `tensors` for a while."""
    before = {name: tensors[name] for name in others}
    tensors.update(others)
    try:
        yield
    finally:
        tensors.update(before)
