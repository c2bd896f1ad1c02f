"""What can be a component, said when it is registered or assigned."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from support.relay import RelayPipeline, linear, relay
from torch import nn

from autopipe.config import register_to_config
from autopipe.errors import ArgumentTypeError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.call import pipeline_call
from autopipe.scheduling import SchedulerMixin


class Plain(SchedulerMixin):
    @register_to_config
    def __init__(self, beta: float = 0.1) -> None:
        self.beta = beta

    def set_timesteps(self, count: int) -> None: ...

    def step(self, *args: Any) -> Any: ...


class Foreign:
    """A scheduler of another library: what counts is how it behaves."""

    def set_timesteps(self, count: int) -> None: ...

    def step(self, *args: Any) -> Any: ...


class Runtime:
    """A network that another runtime computes."""

    def __call__(self, x: Any) -> Any:
        return x


class Words:
    """A tokenizer, as transformers has them."""

    def __call__(self, text: str) -> str:
        return text

    def save_pretrained(self, folder: str) -> None: ...


class Typed(DiffusionPipeline):
    _optional_components = ("checker",)

    def __init__(
        self, net: Network, tokenizer: Processor, scheduler: Scheduler, checker: Network = None
    ) -> None:
        self.register_modules(net=net, tokenizer=tokenizer, scheduler=scheduler, checker=checker)

    @pipeline_call
    def __call__(self) -> Any:
        return self.net(torch.ones(1, 4))


def typed(**changes: Any) -> Typed:
    return Typed(
        **{"net": linear(), "tokenizer": Words(), "scheduler": Plain(), "checker": None, **changes}
    )


BAD: dict[str, list[Any]] = {
    "scheduler": [Plain, "DDIM", "PlainScheduler", {}, 1, linear(), Words(), [Plain()]],
    "net": [nn.Linear, "unet", {}, 3.5, Plain(), Words(), b"", [linear(), 1], float("nan")],
    "tokenizer": [Words, "clip", {}, 0, linear(), Plain(), True],
    "checker": [True, "none", Plain()],
}
GOOD: dict[str, list[Any]] = {
    "scheduler": [Plain(0.2), Foreign(), None],
    "net": [nn.Identity(), [linear(), linear()], Runtime(), None],
    "tokenizer": [Words(), len, None],
    "checker": [lambda images, **k: (images, [False] * len(images)), functools.partial(len)],
}


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in BAD.items() for v in values], ids=str
)
def test_what_can_not_be_a_component_is_refused_where_it_is_given(name: str, value: Any) -> None:
    pipe = typed()
    before = getattr(pipe, name)
    with pytest.raises(ArgumentTypeError, match=f"^{name} must be "):
        setattr(pipe, name, value)
    assert getattr(pipe, name) is before
    with pytest.raises(ArgumentTypeError, match=f"^{name} must be "):
        typed(**{name: value})
    with pytest.raises(ArgumentTypeError, match=f"^{name} must be "):
        Typed.from_pipe(pipe, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in GOOD.items() for v in values], ids=str
)
def test_what_behaves_as_one_is_taken(name: str, value: Any) -> None:
    pipe = typed()
    setattr(pipe, name, value)
    assert pipe.components[name] is value


def test_a_class_in_place_of_a_scheduler_is_told_how_to_make_one() -> None:
    with pytest.raises(ArgumentTypeError, match=r"the class .*Plain; .*from_config\(pipe\.sched"):
        typed().scheduler = Plain


def test_a_compiled_network_is_a_network() -> None:
    pipe = typed()
    expected = pipe()
    pipe.net = torch.compile(pipe.net, backend="eager")
    assert torch.equal(pipe(), expected)
    pipe.to(torch.float64)
    assert pipe.dtype is torch.float64


def test_other_attributes_are_free() -> None:
    pipe: Any = typed()
    pipe.anything = Plain
    del pipe.net
    assert pipe.components["net"] is None


class Extra(RelayPipeline):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_modules(extra=linear())


class Named(RelayPipeline):
    def __init__(self, *args: Any, extra: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_modules(extra=extra)


class Fewer(RelayPipeline):
    def __init__(self, reader: Any, painter: Any, coder: Any) -> None:
        super().__init__(reader, painter, coder)


def test_a_component_without_a_parameter_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match=r"There is no parameter 'extra'"):
        Extra(**relay().components)
    made = Named(**relay().components, extra=linear())
    assert made.to(torch.float64).components["extra"].weight.dtype is torch.float64
    parts = relay().components
    assert Fewer(*(parts[name] for name in ("reader", "painter", "coder"))).guide is None
