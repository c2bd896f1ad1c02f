"""What is measured of engines, what is remembered of it, and the engine that uses it."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autopipe.attaching.engine import EngineRefusal, NetworkEngine
from autopipe.attaching.recorder import NetworkCall, Recorder, difference
from autopipe.manifest import Engine, Manifest
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.resolution.targets import target_of
from autopipe_components.engines.auto import Auto
from autopipe_components.engines.choosing import Choices, key_of
from autopipe_components.engines.measuring import Measured, best, installed_engines, measure


class Clock:
    """A clock that only networks move."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


CLOCK = Clock()


class Slow(nn.Module):
    """A network that takes its time, unless an engine takes that away."""

    pause = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        CLOCK.now += self.pause
        return self.layer(x)


class Quick(NetworkEngine):
    name = "quick"
    factor = 1.0
    refusal: str | None = None
    prepared: int
    released: int

    def __init__(self) -> None:
        self.prepared = self.released = 0

    def refuses(self, component: str, network: nn.Module) -> str | None:
        return self.refusal

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        self.prepared += 1
        own = copy.deepcopy(network)

        def run(x: torch.Tensor) -> torch.Tensor:
            CLOCK.now += 0.1
            return self.factor * own.layer(x)

        return run

    def release(self, network: nn.Module) -> None:
        self.released += 1


class Wrong(Quick):
    name = "wrong"
    factor = 1.01


class Unable(Quick):
    name = "unable"

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        raise EngineRefusal("it lacks an operator")


class Lengthy(Quick):
    name = "lengthy"

    def effort(self, network: nn.Module) -> float:
        return 500.0


class Broken(Quick):
    name = "broken"

    def __init__(self) -> None:
        raise OSError("no runtime")


CLASSES = (Quick, Wrong, Unable, Lengthy, Broken, Auto)


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engines = tuple(Engine(cls.name, target_of(cls)) for cls in CLASSES)
    table = Registry(
        [Installed(Plugin("speed", "d-speed", "1"), Manifest("speed", engines=engines))]
    )
    monkeypatch.setattr("autopipe.registry._default", table)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for module in ("auto", "measuring"):
        monkeypatch.setattr(f"autopipe_components.engines.{module}.time", CLOCK)


@pytest.fixture
def call() -> NetworkCall:
    torch.manual_seed(0)
    return NetworkCall(Slow().eval(), "forward", (torch.ones(2, 3),), {})


def test_every_engine_is_measured_or_told_why_not(call: NetworkCall) -> None:
    engines = installed_engines()
    assert list(engines) == ["quick", "wrong", "unable", "lengthy", "broken"]
    found = {one.engine: one for one in measure("net", call, engines, 20.0)}
    assert list(found) == ["eager", *engines]
    assert found["eager"].seconds == Slow.pause
    assert found["eager"].ratio == 1.0
    assert found["quick"].usable
    assert found["quick"].ratio == pytest.approx(0.2)
    assert found["quick"].ready == pytest.approx(0.1)
    assert found["quick"].difference == 0.0
    assert "more than its tolerance" in found["wrong"].why
    assert found["unable"].why == "it lacks an operator"
    assert found["lengthy"].why.startswith("not tried: it takes about 500 s")
    assert found["broken"].why == "OSError: no runtime"
    assert best(list(found.values())) == "quick"
    assert engines["quick"].prepared == engines["quick"].released == 1


def test_the_fastest_must_be_right_and_worth_it() -> None:
    eager = Measured("eager", 1.0, 1.0, 0.0)
    assert best([eager]) == "eager"
    assert best([eager, Measured("a", 0.95, 0.95, 0.0)]) == "eager"
    assert best([eager, Measured("a", 0.3, 0.3, 0.5, why="it differs")]) == "eager"
    assert best([eager, Measured("a", 0.5, 0.5, 0.0), Measured("b", 0.4, 0.4, 0.0)]) == "b"


def test_differences_are_those_of_the_tensors_wherever_they_are() -> None:
    one = torch.tensor([1.0, -4.0])
    assert difference({"a": (one, one)}, {"a": (one, one)}) == 0.0
    assert difference((one + 0.2,), (one,)) == pytest.approx(0.05)
    assert difference(one, one[:1]) == float("inf")
    assert not difference(one * float("nan"), one) <= 1.0


def test_choices_last_and_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = Choices()
    assert choices.find("a") is None
    choices.add("a", "quick")
    assert Choices().find("a") == "quick"
    monkeypatch.setattr("autopipe_components.engines.choosing._MOST", 3)
    for name in "bcd":
        choices.add(name, "eager")
    assert [choices.find(name) for name in "abcd"] == [None, "eager", "eager", "eager"]
    for damage in ("[1]", "{", '{"b": 3}', ""):
        choices.file.write_text(damage)
        assert choices.find("b") is None
    choices.add("b", "quick")
    assert json.loads(choices.file.read_text()) == {"b": "quick"}


def test_a_choice_is_for_one_network_size_and_version_of_the_engines(call: NetworkCall) -> None:
    engines = installed_engines()
    wide = nn.Linear(4, 3)
    keys = [
        key_of(call.network, "forward", "(2, 3)", engines),
        key_of(call.network, "decode", "(2, 3)", engines),
        key_of(call.network, "forward", "(4, 3)", engines),
        key_of(wide, "forward", "(2, 3)", engines),
        key_of(wide.to(torch.bfloat16), "forward", "(2, 3)", engines),
        key_of(call.network, "forward", "(2, 3)", {"quick": engines["quick"]}),
    ]
    assert len(set(keys)) == len(keys)
    again = NetworkCall(Slow().eval(), "forward", (), {})
    assert key_of(again.network, "forward", "(2, 3)", installed_engines()) == keys[0]


@torch.no_grad()
def test_auto_measures_when_it_is_worth_it_and_remembers(
    call: NetworkCall, caplog: pytest.LogCaptureFixture
) -> None:
    auto = Auto(patience=2 * Slow.pause)
    run = auto.prepare(call.network, "forward")
    quick = auto.engines["quick"]
    expected = call.eager()
    for _ in range(2):
        assert torch.equal(call.by(run), expected)
    assert quick.prepared == 0
    assert caplog.records == []
    assert auto.explain(call.network) == "forward by eager mode until it is measured"
    for _ in range(3):
        assert torch.equal(call.by(run), expected)
    assert quick.prepared == 2
    first, second = [record.getMessage() for record in caplog.records]
    assert "auto measures the engines for network.forward" in first
    assert "auto runs network.forward by quick from now on" in second
    assert auto.explain(call.network) == "forward by quick"
    # Another size is another question.
    assert torch.equal(run(torch.ones(1, 3)), call.network(torch.ones(1, 3)))
    # Another process uses it at once.
    other = Auto(patience=float("inf"))
    call.by(other.prepare(call.network, "forward"))
    assert other.engines["quick"].prepared == 1


@torch.no_grad()
def test_other_threads_go_on_while_one_measures(call: NetworkCall) -> None:
    auto = Auto(patience=0.0)
    run = auto.prepare(call.network, "forward")
    found: list[torch.Tensor] = []

    def other() -> None:
        with torch.no_grad():
            found.append(call.by(run))

    class Waiting(Quick):
        """Is prepared only after another thread has computed."""

        def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join(60)
            assert found
            return super().prepare(network, method)

    auto.engines = {"quick": Waiting()}
    assert torch.equal(call.by(run), call.eager())
    assert torch.equal(found[0], call.eager())


@torch.no_grad()
def test_auto_goes_on_in_eager_mode_if_the_choice_refuses(
    call: NetworkCall, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = Auto()
    shapes = str([(2, 3)])
    auto.choices.add(key_of(call.network, "forward", shapes, auto.engines), "quick")
    monkeypatch.setattr(Quick, "refusal", "memory is short")
    assert torch.equal(call.by(auto.prepare(call.network, "forward")), call.eager())
    assert "memory is short" in caplog.text


def test_auto_is_pickled_without_what_it_prepared() -> None:
    auto = pickle.loads(pickle.dumps(Auto(("quick",), patience=2.0)))
    assert list(auto.engines) == ["quick"]
    assert auto.patience == 2.0
    assert Auto(("broken",)).refuses("net", nn.Linear(1, 1)) == "no other engine is installed"


def test_a_recorder_keeps_what_networks_were_asked() -> None:
    recorder, network = Recorder(), nn.Linear(2, 2)
    x = torch.ones(1, 2)
    made = recorder.prepare(network, "forward")(x)
    x.zero_()
    (one,) = recorder.calls
    assert torch.equal(one.eager(), made)
    assert torch.equal(one.args[0], torch.ones(1, 2))
