"""Subclasses whose constructors pass on what they are given: nothing of it is lost."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from support.relay import Coder, RelayPipeline, linear, relay
from torch import nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentTypeError
from autopipe.kinds import Scheduler, slots_of
from autopipe.scheduling import SchedulerMixin


class Passing(RelayPipeline):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.extra = 1


class Twice(Passing):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class WithOption(RelayPipeline):
    def __init__(self, *, strength: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.register_to_config(strength=strength)


def logged(init: Any) -> Any:
    @functools.wraps(init)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)

    return wrapped


class Decorated(RelayPipeline):
    @logged
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Mixin:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class Mixed(Mixin, RelayPipeline):
    pass


class WithDefault(RelayPipeline):
    """A component of the base class is one here too, though it has a default."""

    def __init__(self, painter: Any = None, **kwargs: Any) -> None:
        super().__init__(painter=painter, **kwargs)


class Fixing(RelayPipeline):
    """Sets a component by itself, and passes all others on."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(guard=None, **kwargs)


CLASSES = [Passing, Twice, WithOption, Decorated, Mixed, WithDefault]


@pytest.mark.parametrize("cls", CLASSES)
def test_components_are_known_moved_and_handed_on(cls: Any) -> None:
    source = relay()
    made = cls(**source.components)
    assert set(made.components) == set(source.components)
    assert made.components == source.components
    made.to(torch.float64)
    assert {network.dtype for network in (made.coder,)} == {torch.float64}
    assert {p.dtype for n in made._networks().values() for p in n.parameters()} == {torch.float64}
    view = cls.from_pipe(source)
    assert type(view) is cls
    assert view.painter is source.painter
    assert type(RelayPipeline.from_pipe(made)) is RelayPipeline


@pytest.mark.parametrize("cls", CLASSES)
def test_offloading_places_all_of_them(cls: Any) -> None:
    made = cls(**relay().components)
    made.enable_model_cpu_offload(device="cpu")
    assert {item.name for item in made.placement} == set(made.components)
    assert "from its first use" in made.placement["guide"].where
    made.close()
    with pytest.raises(Exception, match="closed"):
        made.painter  # noqa: B018


def test_options_of_a_subclass_are_options() -> None:
    assert WithOption.option_names() == ("strength",)
    assert WithOption(**relay().components, strength=2.0).options == {"strength": 2.0}
    assert WithOption.from_pipe(relay(), strength=3.0).options == {"strength": 3.0}
    with pytest.raises(ArgumentTypeError, match="strength"):
        WithOption.from_pipe(relay(), strenth=3.0)


def test_what_a_constructor_sets_by_itself_is_not_passed_twice() -> None:
    view = Fixing.from_pipe(relay())
    assert view.guard is None
    assert view.painter is not None


def test_another_error_of_a_constructor_passes_unchanged() -> None:
    class Failing(RelayPipeline):
        def __init__(self, **kwargs: Any) -> None:
            raise TypeError("got multiple values for argument 'nothing'")

    with pytest.raises(TypeError, match="'nothing'"):
        Failing.from_pipe(relay())


class Typed(RelayPipeline):
    def __init__(self, *args: Any, scheduler: Scheduler, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_modules(scheduler=scheduler)


class TypedAgain(Typed):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


def test_the_kinds_of_components_are_those_of_the_constructor_that_names_them() -> None:
    assert slots_of(TypedAgain) == slots_of(Typed) != {}
    with pytest.raises(ArgumentTypeError, match="scheduler"):
        TypedAgain.from_pipe(relay(), scheduler=linear())


class PassingCoder(Coder):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.more = nn.Linear(1, 1)


class FixedCoder(Coder):
    @register_to_config
    def __init__(self, half: int = 1, **kwargs: Any) -> None:
        super().__init__(width=2 * half, **kwargs)


class Plain(SchedulerMixin):
    @register_to_config
    def __init__(self, beta: float = 0.1, name: str = "plain") -> None:
        self.beta = beta


class PassingScheduler(Plain):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


class WiderScheduler(Plain):
    @register_to_config
    def __init__(self, gamma: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def test_networks_and_schedulers_keep_their_configs(tmp_path: Path) -> None:
    PassingCoder(width=6).save_pretrained(tmp_path / "coder")
    loaded = PassingCoder.from_pretrained(tmp_path / "coder")
    assert (type(loaded), loaded.layer.in_features) == (PassingCoder, 6)
    PassingScheduler(0.7).save_pretrained(tmp_path / "scheduler")
    assert PassingScheduler.from_pretrained(tmp_path / "scheduler").beta == 0.7
    assert PassingScheduler.from_config(Plain(0.3).config).beta == 0.3
    assert PassingScheduler.from_config(Plain(0.3).config, beta=0.4).beta == 0.4


def test_a_subclass_that_records_more_keeps_both() -> None:
    made = WiderScheduler(gamma=2.0, beta=0.6)
    assert {"gamma": 2.0, "beta": 0.6, "name": "plain"}.items() <= made.config.items()
    assert "kwargs" not in made.config
    again = WiderScheduler.from_config(made.config)
    assert (again.config.gamma, again.beta) == (2.0, 0.6)
    # What nobody gave is left to the class that it is made for.
    assert set(made.config["_use_default_values"]) == {"name"}
    assert set(WiderScheduler(beta=0.6).config["_use_default_values"]) == {"gamma", "name"}


def test_a_network_whose_subclass_fixes_a_size(tmp_path: Path) -> None:
    made = FixedCoder(half=3)
    assert made.config.width == 6
    assert FixedCoder.from_config(made.config).layer.in_features == 6
    made.save_pretrained(tmp_path)
    assert FixedCoder.from_pretrained(tmp_path).layer.in_features == 6
