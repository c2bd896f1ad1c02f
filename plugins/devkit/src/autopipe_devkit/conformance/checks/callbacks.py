"""Checks of step callbacks: what they receive, what they can change, and how they end a call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..subject import Subject
from ..verdict import Unjudged

INPUTS = "callback_on_step_end_tensor_inputs"


def callback(subject: Subject) -> None:
    """`callback_on_step_end` is called after each step, and can end the call.

    It receives the number of the step, its timestep, and the tensors that the class offers.
    """
    pipe = subject.load()
    offered = list(subject.cls._callback_tensor_inputs)
    asked = _asking(subject, offered)
    seen: list[tuple[int, float]] = []
    schedule: list[float] = []

    def watch(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(tensors["latents"], torch.Tensor), "a callback gets no latents"
        assert not asked or list(tensors) == offered, (
            f"a callback gets {', '.join(tensors)} where {', '.join(offered)} are offered"
        )
        seen.append((step, float(timestep)))
        schedule[:] = torch.as_tensor(run.scheduler.timesteps).tolist()
        return tensors

    def stop(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        seen.append((step, float(timestep)))
        run._interrupt = True

    plain = subject.result(pipe)
    watched = subject.result(pipe, callback_on_step_end=watch, **asked)
    assert np.array_equal(watched, plain), "a callback that changes nothing changes the result"
    assert seen, "callback_on_step_end was not called"
    steps, timesteps = [step for step, _ in seen], [timestep for _, timestep in seen]
    assert steps == list(range(len(seen))), f"a callback is told the steps {steps}"
    # A call that starts from an image only takes the last steps of the schedule.
    assert timesteps == schedule[-len(seen) :], (
        f"a callback is told the timesteps {timesteps}, and the schedule ends with "
        f"{schedule[-len(seen) :]}"
    )
    whole = "strength" in subject.taken or (len(seen) == len(schedule))
    assert whole, f"a callback is called {len(seen)} times in {len(schedule)} steps"
    seen.clear()
    subject.result(pipe, callback_on_step_end=stop)
    assert [step for step, _ in seen] == [0], "a step was taken after run._interrupt = True"


def replacing(subject: Subject) -> None:
    """A step callback can replace each tensor that the class offers, which changes the result."""
    pipe = subject.load()
    plain, faults = subject.result(pipe), {}
    there: dict[str, Any] = {}

    def watch(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> None:
        there.update(tensors, steps=step + 1)

    offered = list(subject.cls._callback_tensor_inputs)
    subject.result(pipe, callback_on_step_end=watch, **_asking(subject, offered))
    if there.get("steps", 0) < 2:
        raise Unjudged("a call takes one step, so that nothing comes after what a callback changes")
    for name in offered:
        if there.get(name) is None:
            subject.notes.unchecked.append(f"{name} of a callback: this call has none")
            continue

        def change(
            run: Any, step: int, timestep: Any, tensors: dict[str, Any], name: str = name
        ) -> dict[str, Any]:
            return {name: _other(tensors[name])} if step == 0 else {}

        asked = _asking(subject, [name])
        if np.array_equal(subject.result(pipe, callback_on_step_end=change, **asked), plain):
            faults[name] = f"{name} has no effect where a callback replaces it in {subject.task}"
    subject.judge(faults)


def _asking(subject: Subject, names: list[str]) -> dict[str, Any]:
    """Return the argument that requests these tensors, if calls take it."""
    return {INPUTS: names} if INPUTS in subject.taken else {}


def _other(tensor: Any) -> Any:
    """Return a value of the same kind that differs in every element."""
    if isinstance(tensor, (list, tuple)):
        return [_other(one) for one in tensor]
    if tensor.dtype == torch.bool:
        return ~tensor
    if not tensor.is_floating_point():
        return tensor + 1
    return tensor * 0.5 + 0.25
