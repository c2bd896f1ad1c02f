"""Reusing the deep features of a U-Net in the steps that follow (DeepCache, arXiv:2312.00858).

Features change slowly from step to step, most slowly those of the low resolutions. So a *full* step
runs the whole network and keeps its deep features, and the *shallow* steps after it run the
outermost layers on the current latents, with the deep features of the full step.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from autopipe.attaching.attachment import Attachment, Predict
from autopipe.attaching.network_view import Answer
from autopipe.errors import ArgumentError
from autopipe.wording import listed, shown
from autopipe_components.networks.conditioning import Conditioning
from autopipe_components.networks.unet import UNet2DConditionModel
from autopipe_components.networks.unet_passage import (
    Residuals,
    go_down,
    go_through_middle,
    go_up,
    skip_count,
)

from .arguments import whole_at_least, whole_numbers
from .inputs import CACHE_DEPTH, CACHE_FULL_STEPS, CACHE_INTERVAL


class StepCache(Attachment):
    """Runs only the outermost layers of U-Nets in most steps.

    A ControlNet rests in shallow steps: its features of the last full step are used again. Other
    networks run as before. Calls with an interval of 1 are the same as without the add-on.

    Args:
        interval: the distance between full steps: 3 means steps 0, 3, 6 and so on.
        depth: the number of skip connections that shallow steps compute: 1 runs the last layer of
            the U-Net only. Larger values are slower and closer to the result without the add-on.
        full_steps: the indices of the full steps, instead of an interval; step 0 is always full.

    Raises:
        ArgumentError, ArgumentTypeError: if an argument is not valid.
    """

    name = "step_cache"
    # Innermost: others decide before it how a step predicts.
    order = -100
    inputs = (CACHE_INTERVAL, CACHE_DEPTH, CACHE_FULL_STEPS)

    def __init__(self, interval: int = 3, depth: int = 1, full_steps: Any = None) -> None:
        self.interval = whole_at_least(1, "interval", interval)
        self.depth = whole_at_least(1, "depth", depth)
        self.full_steps = None if full_steps is None else whole_numbers("full_steps", full_steps)
        self._kept: list[_Cached] | None = None
        self._halves: str | None = None
        self._step: int | None = None
        self._are_several = False

    def check(self, pipe: Any) -> None:
        """Check that the pipeline has a U-Net that can run in parts.

        Raises:
            ArgumentError: if it doesn't, or the U-Net has fewer skip connections than `depth`.
        """
        networks = {n: c for n, c in pipe.components.items() if isinstance(c, nn.Module)}
        unets = [one for one in networks.values() if isinstance(one, UNet2DConditionModel)]
        if not unets:
            found = [f"{name} is a {type(one).__name__}" for name, one in networks.items()]
            raise ArgumentError(
                f"step_cache needs a UNet2DConditionModel of autopipe, whose blocks it runs one by "
                f"one; in this {type(pipe).__name__} {listed(found, 10)}"
            )
        for unet in unets:
            _check_depth(self.depth, unet)

    def of_call(self, run: Any) -> StepCache:
        """Return a cache for one call, with the call's arguments.

        Raises:
            ArgumentError, ArgumentTypeError: if an argument is not valid.
        """
        made, call = copy.copy(self), run.call
        interval, depth, steps = (call.get(one.name) for one in self.inputs)
        if interval is not None:
            made.interval = whole_at_least(1, CACHE_INTERVAL.name, interval)
            made.full_steps = None
        if depth is not None:
            made.depth = whole_at_least(1, CACHE_DEPTH.name, depth)
        if steps is not None:
            if interval is not None:
                raise ArgumentError(
                    "cache_interval and cache_full_steps both say which steps are full; give one"
                )
            made.full_steps = whole_numbers(CACHE_FULL_STEPS.name, steps)
        is_off = made.interval == 1 and made.full_steps is None
        made._kept = None if is_off else []
        return made

    def answers(self, component: str, network: nn.Module, strength: float) -> Mapping[str, Answer]:
        """Return the replacement of a U-Net's passage, or of a whole ControlNet."""
        if self._kept is None:  # Outside calls, every step is full.
            return {}
        if isinstance(network, UNet2DConditionModel):
            _check_depth(self.depth, network)
            passage = _CachedPassage(self.depth)
            self._kept.append(passage)
            return {"passage": passage}
        if component == "controlnet":
            output = _CachedOutput()
            self._kept.append(output)
            return {"": output}
        return {}

    def predict(
        self, run: Any, tensors: Mapping[str, Any], predict: Predict, strength: float
    ) -> Predict:
        """Return `predict` with the steps marked as full or shallow."""
        kept = self._kept
        if kept is None:
            return predict
        self._step, self._are_several = None, False

        def cached(step: int, timestep: Tensor) -> Tensor:
            # What was kept belongs to one way of predicting the halves of guidance.
            halves = getattr(run, "halves", None)
            # Of several predictions in a step, it would belong to the last one.
            self._are_several = self._are_several or step == self._step
            full = self._is_full(step) or halves != self._halves or self._are_several
            self._halves, self._step = halves, step
            for one in kept:
                one.begin(full=full)
            return predict(step, timestep)

        return cached

    def _is_full(self, step: int) -> bool:
        if self.full_steps is not None:
            return step == 0 or step in self.full_steps
        return step % self.interval == 0


class _Cached:
    """What a network keeps during one call: a value for each of its runs in a full step."""

    def __init__(self) -> None:
        self._values: list[tuple[Any, Any]] = []
        self._runs = 0
        self._full = True

    def begin(self, *, full: bool) -> None:
        """Begin a step."""
        self._runs, self._full = 0, full
        if full:
            self._values.clear()

    def kept(self, key: Any) -> Any:
        """Return the value that this run of a shallow step uses again; None to compute one."""
        if self._full or self._runs >= len(self._values):
            return None
        known, value = self._values[self._runs]
        # A step callback may have changed the batch, for example by turning guidance off.
        return value if known == key else None

    def keep(self, key: Any, value: Any) -> None:
        """Keep the value of this run for the shallow steps that follow."""
        self._values[self._runs :] = [(key, value)]

    def end(self) -> None:
        """End one run of the network."""
        self._runs += 1


class _CachedPassage(_Cached):
    """The passage of a U-Net during one call."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self._depth = depth

    def __call__(
        self,
        passage: nn.Module,
        unet: UNet2DConditionModel,
        hidden: Tensor,
        cond: Conditioning,
        residuals: Residuals,
    ) -> Tensor:
        key, depth = hidden.shape, self._depth
        deep = self.kept(key)
        if deep is None:
            hidden, skips = go_down(unet, hidden, cond, residuals)
            hidden = go_through_middle(unet, hidden, cond, residuals)
            deep = go_up(unet, hidden, skips, cond, stop=depth)
            self.keep(key, deep)
        else:
            _, skips = go_down(unet, hidden, cond, residuals, depth)
        self.end()
        return go_up(unet, deep, skips, cond, start=depth)


class _CachedOutput(_Cached):
    """A whole network during one call, such as a ControlNet."""

    def __call__(self, network: nn.Module, sample: Tensor, *args: Any, **options: Any) -> Any:
        key = sample.shape, options.get("conditioning_scale")
        output = self.kept(key)
        if output is None:
            output = network(sample, *args, **options)
            self.keep(key, output)
        self.end()
        return output


def _check_depth(depth: int, unet: UNet2DConditionModel) -> None:
    most = skip_count(unet) - 1
    if depth > most:
        raise ArgumentError(
            f"the depth of the step cache is {shown(depth)}, but this U-Net has {most + 1} skip "
            f"connections; give 1 to {most}"
        )
