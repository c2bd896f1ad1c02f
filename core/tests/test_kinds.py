from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Optional, Protocol

import pytest
import torch
from torch import nn

from autopipe.config import register_to_config
from autopipe.errors import ConfigError
from autopipe.kinds import Kind, Network, Processor, Scheduler, kind_of, slots_of
from autopipe.modeling import ModelMixin
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


class Net(ModelMixin):
    @register_to_config
    def __init__(self, width: int = 2, layer: str = "linear", seed: int = 0) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.seed = nn.Parameter(torch.zeros(1))

    @property
    def broken(self) -> int:
        raise AttributeError("inside")


def test_a_network_has_its_modules_and_parameters_before_its_config() -> None:
    net = Net(width=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(net.layer, nn.Linear)
        assert isinstance(net.seed, nn.Parameter)
        assert not hasattr(net, "colour")
        assert not hasattr(net, "broken")
        assert not hasattr(net, "_use_default_values")
        copy.deepcopy(net)
    with pytest.warns(FutureWarning, match=r"\.config\.width") as caught:
        assert net.width == 3
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'colour'"):
        net.colour  # noqa: B018


def test_copies_of_a_network_have_configs_of_their_own() -> None:
    net = Net()
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        twin.config.width = 5
        assert (twin.config.width, net.config.width) == (5, 2)
        with pytest.raises(ConfigError, match="Net can't have width"):
            twin.config["width"] = "x"
