"""Checks that a call doesn't change what belongs to its caller."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from autopipe.errors import AutopipeError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.placement.base import networks_of

from .. import given, traces
from ..samples import batched, generators
from ..subject import Subject, quiet
from .callbacks import INPUTS as CALLBACK_INPUTS


def untouched(subject: Subject) -> None:
    """A call doesn't change arguments, random states, modes, networks or schedulers.

    Neither does a call that fails or is cancelled.
    """
    used, pipe = subject.load(), subject.load()
    with traces.restored():
        middle = _forwards(subject, used) // 2  # the first call may import and initialise
        forms = list(_forms(subject, used))
    found: list[str] = []
    for form, arguments in forms:
        found += _changed(subject, pipe, form, arguments)
    for how, end in (("fails", _fail), ("is cancelled", pipe.cancel)):
        with _at(middle, end):
            found += _changed(subject, pipe, f"that {how}", {}, ends=True)
    _make_unusual(pipe)
    # In train mode, dropout draws from torch's random state.
    with torch.no_grad():
        training = list(_changed(subject, pipe, "in train mode", {}))
    found += [told for told in training if traces.TORCH not in told]
    assert not found, "\n".join(dict.fromkeys(found))


def unseeded(subject: Subject) -> None:
    """Calls without a generator give different results, and seed no global random state."""
    pipe = subject.load()

    def draw() -> np.ndarray:
        return subject.result(pipe, generator=None)

    with traces.restored():
        draw()
    with traces.restored():
        _differ_and_reseed_nothing(subject, draw)


def _differ_and_reseed_nothing(subject: Subject, draw: Callable[[], np.ndarray]) -> None:
    before = traces.of_process()
    drawn = [draw() for _ in range(3)]
    for number in (0, 1):
        assert not np.array_equal(drawn[number], drawn[number + 1]), (
            f"calls without a generator all make the same in {subject.task}"
        )
    after = traces.of_process()
    # Without a generator, a call draws from torch's global one.
    changed = [name for name in traces.changes(before, after) if name != traces.TORCH]
    assert not changed, f"a call without a generator changes {', '.join(changed)}"
    torch.manual_seed(1)
    one = draw()
    # The numbers drawn here advance the state, unless a call seeds it.
    torch.manual_seed(2)
    torch.rand(3)
    assert not np.array_equal(one, draw()), (
        "a call without a generator seeds torch's global generator"
    )
    torch.manual_seed(1)
    follows = np.array_equal(one, draw())
    subject.notes.abilities["torch.manual_seed"] = (
        "yes" if follows else "no: calls without a generator don't draw from torch's"
    )


def _forms(subject: Subject, pipe: DiffusionPipeline) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield forms of the arguments of a call, each with a phrase that continues "a call"."""
    yield "", {}
    arguments, names = subject.arguments(), batched(subject.task)
    lists: dict[str, Any] = {name: [arguments[name]] for name in names}
    if subject.task.repeats is not None and "generator" in subject.task.parameters:
        lists |= {
            subject.task.repeats: 2,
            "generator": generators(0, 1),
        }
    if names:
        yield "with lists", lists
    for form, make in (("arrays", given.as_array), ("tensors", given.as_tensor)):
        pictures = {one.name: make(arguments[one.name]) for one in given.pictures_of(subject)}
        if pictures:
            yield f"with {form}", pictures
    latents = given.latents(subject, pipe)
    if latents is not None:
        yield "with latents", {"latents": latents}
    if CALLBACK_INPUTS in subject.taken:
        yield "with a callback", {CALLBACK_INPUTS: ["latents"], "callback_on_step_end": _look_on}
    embeds = given.embeds(subject, pipe)
    if embeds:
        yield "with embeddings", embeds


def _changed(
    subject: Subject,
    pipe: DiffusionPipeline,
    form: str,
    arguments: dict[str, Any],
    ends: bool = False,
) -> Iterator[str]:
    """Yield a sentence for everything that a call changes.

    Args:
        form: a phrase that continues "a call".
        arguments: further arguments of the call.
        ends: whether the call is expected to raise.
    """
    handed = {**subject.arguments(), **arguments}
    kept = {name: copy.deepcopy(one) for name, one in handed.items() if not _draws(one)}
    versions = _versions(handed)
    with quiet(), traces.restored():
        before = _taken_down(pipe)
        try:
            pipe(**handed)
        except AutopipeError:
            pass  # the family doesn't take this form, or the call was cancelled
        except _Failure:
            assert ends
        after = _taken_down(pipe)
    call = f"a call {form}".strip()
    for name in traces.changes(before, after):
        yield f"{call} changes {name} in {subject.task}"
    for name in traces.changes(kept, {name: handed[name] for name in kept}):
        yield f"{call} changes its caller's {name} in {subject.task}"
    for name, version in _versions(handed).items():
        if version != versions[name]:
            yield f"{call} writes into its caller's {name} in {subject.task}"


def _versions(handed: dict[str, Any]) -> dict[str, int]:
    """Return the version counters of tensors, which reveal writes even of equal values."""
    return {name: one._version for name, one in handed.items() if isinstance(one, torch.Tensor)}


def _taken_down(pipe: DiffusionPipeline) -> dict[str, Any]:
    return {**traces.of_process(), **traces.of_pipeline(pipe)}


def _draws(value: Any) -> bool:
    """Whether `value` is a generator or a list of generators."""
    one = value[0] if isinstance(value, list) and value else value
    return isinstance(one, torch.Generator)


def _make_unusual(pipe: DiffusionPipeline) -> None:
    """Give networks unusual modes, so that it is noticed if a call sets a mode."""
    for network in networks_of(pipe.components).values():
        network.train()
        for number, parameter in enumerate(network.parameters()):
            if parameter.is_floating_point():
                parameter.requires_grad_(number % 2 == 0)


def _look_on(run: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
    """A step callback that changes nothing."""
    return {}


class _Failure(Exception):
    """The error with which the kit makes a call fail."""


def _fail() -> None:
    raise _Failure


def _forwards(subject: Subject, pipe: DiffusionPipeline) -> int:
    """Return the number of module calls in a call."""
    count = [0]

    def passed() -> None:
        count[0] += 1

    with _at(None, passed):
        subject.output(pipe)
    return count[0]


@contextmanager
def _at(number: int | None, do: Callable[[], None]) -> Iterator[None]:
    """Context manager that calls `do` before the module call `number`; before each if None."""
    count = [0]

    def forward(module: nn.Module, arguments: Any) -> None:
        count[0] += 1
        if number is None or count[0] == number + 1:
            do()

    handle = nn.modules.module.register_module_forward_pre_hook(forward)
    try:
        yield
    finally:
        handle.remove()
