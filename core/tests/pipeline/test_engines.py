"""Engines on a pipeline of tiny networks: when they run, when not, and what is said of it."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from support.relay import PaintingPipeline, RelayPipeline, relay
from torch import Tensor, nn

from autopipe.attaching.attachment import Attachment
from autopipe.attaching.engine import EngineRefusal, NetworkEngine, state_of
from autopipe.errors import ArgumentTypeError, PluginError
from autopipe.manifest import Engine, Manifest
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.resolution.targets import target_of


def ready() -> RelayPipeline:
    """Return a pipeline whose networks are in evaluation mode, as loaded ones are."""
    pipe = relay()
    for network in pipe._networks().values():
        network.eval()
    return pipe


class Frozen(NetworkEngine):
    """Runs a copy of the network, as an engine does that converts it, and adds one."""

    name = "frozen"

    def __init__(self) -> None:
        self.prepared: list[str] = []
        self.released: list[nn.Module] = []
        self.rows = 100

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        self.prepared.append(method)
        own = getattr(copy.deepcopy(network), method)

        def run(x: Tensor) -> Tensor:
            if len(x) > self.rows:
                raise EngineRefusal(f"it takes at most {self.rows} rows")
            return own(x) + 1

        return run

    def release(self, network: nn.Module) -> None:
        self.released.append(network)


class Weightless(Frozen):
    """Follows the weights by itself."""

    name = "weightless"

    def depends_on(self, network: nn.Module) -> object:
        return None


class Views(Frozen):
    """Runs networks with attachments as well."""

    name = "views"
    runs_views: ClassVar[bool] = True

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        self.prepared.append(method)
        return lambda x: getattr(network, method)(x) + 1


class Added(Attachment):
    def answers(self, component: str, network: nn.Module, strength: float) -> Any:
        return {"layer": lambda layer, x: layer(x) + strength} if component == "coder" else {}


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    family = Manifest("frost", engines=(Engine("frozen", target_of(Frozen)),))
    table = Registry([Installed(Plugin("frost", "d-frost", "1"), family)])
    monkeypatch.setattr("autopipe.registry._default", table)


@pytest.fixture
def engine() -> Frozen:
    return Frozen()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_eager_is_the_choice_of_no_engine(engine: Frozen) -> None:
    pipe = ready()
    plain = pipe()
    pipe.use_engine({"painter": engine, "coder": "eager", "reader": None})
    assert dict(pipe.engines) == {"painter": "frozen"}
    assert not torch.equal(pipe(), plain)
    assert torch.equal(pipe.use_engine("eager")(), plain)
    assert dict(pipe.engines) == {}
    with pytest.raises(ArgumentTypeError, match="speed is only for a named engine"):
        pipe.use_engine("eager", speed=2)


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.weight.detach().zero_(),
        lambda net: net.load_state_dict({n: t + 1 for n, t in net.state_dict().items()}),
        lambda net: setattr(net.weight, "data", net.weight.data + 1),
        lambda net: setattr(net, "weight", nn.Parameter(net.weight.detach() + 1)),
        lambda net: net.to(torch.bfloat16).to(torch.float32),
    ],
    ids=["in place", "load_state_dict", "data", "parameter", "cast and back"],
)
def test_a_change_of_the_weights_is_seen_in_the_next_call(
    engine: Frozen, change: Callable[[Any], object]
) -> None:
    pipe, plain = ready(), ready()
    pipe.use_engine({"painter": engine})
    pipe()
    assert (engine.prepared, engine.released) == (["forward"], [])
    change(pipe.painter)
    change(plain.painter)
    plain.use_engine({"painter": Frozen()})
    assert torch.equal(pipe(), plain())
    assert engine.prepared == ["forward"] * 2
    assert engine.released == [pipe.painter]


def test_an_attribute_counts_as_a_change_and_a_call_as_none(engine: Frozen) -> None:
    pipe = ready()
    pipe.use_engine({"coder": engine})
    before = state_of(pipe.coder)
    pipe()
    pipe()
    assert state_of(pipe.coder) == before
    assert engine.prepared == ["decode"]
    pipe.coder.use_tiling = True
    pipe()
    assert engine.prepared == ["decode"] * 2


def test_an_engine_may_follow_the_weights_by_itself() -> None:
    engine = Weightless()
    pipe = ready().use_engine({"painter": engine})
    pipe()
    pipe.painter.weight.detach().zero_()
    pipe()
    assert engine.prepared == ["forward"]


def test_what_is_said_of_what_an_engine_does_not_run(
    engine: Frozen, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = ready()
    assert "eager" not in pipe.explain()
    pipe.use_engine({"painter": engine, "coder": engine})
    assert "painter: frozen, prepared in the next call" in pipe.explain()
    pipe.coder.register_forward_hook(lambda *arguments: None)
    pipe.guide = nn.Linear(4, 4).eval()
    pipe()
    pipe()
    assert sorted(warnings_of(caplog)) == [
        "frozen doesn't run coder now: it has hooks",
        "no engine runs guide: it was added after use_engine(); call that again",
    ]
    assert pipe.explain().splitlines()[3:] == [
        "reader: eager mode, since no engine was chosen for it",
        "painter: frozen, prepared",
        "coder: eager mode, since frozen doesn't run it: it has hooks",
        "guide: eager mode, since it was added after use_engine(); call that again",
        "guard: eager mode, since no engine was chosen for it",
    ]


def test_a_network_that_runs_code_of_the_user_is_left_to_eager_mode(
    engine: Frozen, caplog: pytest.LogCaptureFixture
) -> None:
    pipe = ready()
    pipe.coder.runs_user_code = True
    pipe.use_engine({"coder": engine})
    pipe()
    assert engine.prepared == []
    assert "code of yours" in warnings_of(caplog)[0]
    views = Views()
    pipe.use_engine({"coder": views})
    pipe()
    assert views.prepared  # It runs networks as they are.
    pipe.use_engine({"coder": engine})
    pipe.coder.runs_user_code = False
    pipe()
    assert engine.prepared


def test_a_refusal_while_it_is_prepared_or_run_is_said_and_eager_mode_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Unable(Frozen):
        def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
            super().prepare(network, method)
            raise EngineRefusal("it lacks an operator")

    pipe = ready()
    plain, unable, narrow = pipe(), Unable(), Frozen()
    narrow.rows = 0
    pipe.use_engine({"painter": unable, "coder": narrow})
    assert torch.equal(pipe(), plain)
    assert torch.equal(pipe(), plain)
    assert unable.prepared == ["forward"]
    assert sorted(warnings_of(caplog)) == [
        "frozen doesn't run coder now: it takes at most 0 rows",
        "frozen doesn't run painter now: it lacks an operator",
    ]
    assert "painter.forward: eager mode, since it lacks an operator" in pipe.explain()


def test_gradients_are_those_of_the_network_itself(engine: Frozen) -> None:
    pipe = ready().use_engine({"painter": engine})
    grads: list[Tensor] = []

    def guide(run: Any, step: int) -> None:
        with torch.enable_grad():
            x = torch.ones(1, 4, requires_grad=True)
            grads.append(torch.autograd.grad(run.painter(x).sum(), x)[0])

    pipe(callback=guide, steps=1)
    assert torch.equal(grads[0], pipe.painter.weight.sum(0, keepdim=True))


def test_an_engine_that_runs_views_gets_the_network_of_each_call() -> None:
    pipe, plain, engine = ready(), ready(), Views()
    pipe.use_engine({"coder": engine})
    for one in (pipe, plain):
        one.guard = None
        one.attach(Added(), name="added")
    for strength in (1.0, 0.5):
        given: dict[str, Any] = {"adapters": {"added": strength}}
        assert torch.equal(pipe(**given), plain(**given) + 1)
    assert engine.prepared == ["decode"] * 2
    assert engine.released == []


def test_networks_with_an_engine_of_one_name_share_its_object() -> None:
    pipe = ready().use_engine("frozen")
    assert len({id(engine) for engine in pipe._pool.engines.values()}) == 1


def test_closing_releases_and_other_tasks_share_what_is_prepared(engine: Frozen) -> None:
    pipe = ready().use_engine(engine)
    pipe()
    other = PaintingPipeline.from_pipe(pipe)
    other()
    assert len(engine.prepared) == 5
    pipe.close()
    assert len(engine.released) == 5


def test_an_error_while_it_releases_names_the_engine() -> None:
    class Holding(Frozen):
        def release(self, network: nn.Module) -> None:
            raise RuntimeError("still in use")

    pipe = ready().use_engine({"painter": Holding()})
    pipe()
    with pytest.raises(PluginError, match=r"frozen failed .*still in use"):
        pipe.use_engine(None)


def test_threads_prepare_once(engine: Frozen) -> None:
    pipe = ready().use_engine({"painter": engine})
    expected = copy.deepcopy(pipe)()
    found: list[Tensor] = []
    threads = [threading.Thread(target=lambda: found.append(pipe())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(torch.equal(one, expected) for one in found)
    # The first is that of the copy, which has the same engine.
    assert engine.prepared == ["forward"] * 2
