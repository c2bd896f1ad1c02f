from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Optional, Protocol

import pytest
from torch import nn

from autopipe.kinds import Kind, Network, Processor, Scheduler, kind_of, slots_of
from autopipe.scheduling import SchedulerMixin

if TYPE_CHECKING:
    from somewhere import Unknown


class Speaks(Protocol):
    def speak(self) -> str: ...


class Checker:
    """A base that networks may have too."""


class NetChecker(nn.Linear, Checker):
    """A network that is a checker."""


class Pipe:
    def __init__(
        self,
        net: nn.Module,
        scheduler: Scheduler,
        tokenizer: Processor,
        checker: Checker | None,
        either: Network | Scheduler | None,
        old: Optional[nn.Linear],  # noqa: UP045
        noted: Annotated[SchedulerMixin, "by a note"],
        anything: Any,
        half: nn.Module | Any,
        speaks: Speaks,
        calls: Callable[[], None],
        bare: object,
        unsaid=None,  # type: ignore[no-untyped-def]
    ) -> None: ...


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        (nn.Linear, Kind.NETWORK),
        (SchedulerMixin, Kind.SCHEDULER),
        (dict, Kind.PROCESSOR),
        (NetChecker, Kind.NETWORK),
    ],
)
def test_kinds_of_classes(cls: type, kind: Kind) -> None:
    assert kind_of(cls) is kind


@pytest.mark.parametrize(
    ("name", "takes"),
    [
        ("net", {nn.Linear, NetChecker}),
        ("scheduler", {SchedulerMixin}),
        ("tokenizer", {dict, Checker}),
        ("checker", {dict, Checker, NetChecker}),
        ("either", {nn.Linear, NetChecker, SchedulerMixin}),
        ("old", {nn.Linear, NetChecker}),
        ("noted", {SchedulerMixin}),
    ],
)
def test_what_an_annotation_takes(name: str, takes: set[type]) -> None:
    slot = slots_of(Pipe)[name]
    every = (nn.Linear, NetChecker, SchedulerMixin, dict, Checker)
    assert {cls for cls in every if slot.takes(cls)} == takes


@pytest.mark.parametrize(
    "name", ["anything", "half", "speaks", "calls", "bare", "unsaid", "return", "self"]
)
def test_what_takes_anything(name: str) -> None:
    assert name not in slots_of(Pipe)


def test_names_for_type_checkers_alone_say_nothing() -> None:
    class Vague:
        def __init__(self, net: nn.Module, other: Unknown) -> None: ...

    assert slots_of(Vague) == {}


def test_what_a_message_calls_it() -> None:
    assert str(slots_of(Pipe)["either"]) == "a network or a scheduler"
