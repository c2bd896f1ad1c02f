"""The checks of an engine pass a sound one, and catch each fault that an engine may have."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from autopipe.attaching.engine import NetworkEngine
from autopipe.manifest import Family
from autopipe_components.engines.compile import Compile
from autopipe_devkit.conformance.checks.engines import OF_AN_ENGINE
from autopipe_devkit.conformance.engine_suite import EngineConformance
from autopipe_devkit.conformance.engined import Engined

pytest_plugins = ["pytester"]


class Converting(NetworkEngine):
    """A sound engine that converts: it runs a copy of the network as it was."""

    name = "converting"

    def refuses(self, component: str, network: nn.Module) -> str | None:
        is_meta = any(one.is_meta for one in network.parameters())
        return "it has no weights" if is_meta else None

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        run: Callable[..., Any] = getattr(copy.deepcopy(network), method)
        return run


class Rough(Converting):
    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        run = super().prepare(network, method)
        return lambda *args: run(*args) + 1e-3


class Wrapped(Converting):
    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        run = super().prepare(network, method)
        return lambda *args: (run(*args),)


class Idle(Converting):
    def refuses(self, component: str, network: nn.Module) -> str | None:
        return "it is Monday"


class Static(Converting):
    """Keeps the size of the first call."""

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        run, sizes = super().prepare(network, method), []

        def sized(first: Any, *rest: Any) -> Any:
            sizes.append(getattr(first, "shape", None))
            if sizes[-1] is not None and sizes[-1][2:] != sizes[0][2:]:
                first = nn.functional.interpolate(first, sizes[0][2:])
            return run(first, *rest)

        return sized


class Buffered(Converting):
    """Copies its input into one buffer, without a lock."""

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        run, buffer = super().prepare(network, method), {}

        def buffered(first: Any, *rest: Any) -> Any:
            buffer["first"] = first
            time.sleep(0.002)
            return run(buffer["first"], *rest)

        return buffered


class Stale(Converting):
    def depends_on(self, network: nn.Module) -> object:
        return None


class ByClass(Converting):
    """Takes networks of one class for the same."""

    def __init__(self) -> None:
        self.known: dict[object, Any] = {}

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        key = (type(network), method)
        if key not in self.known:
            self.known[key] = super().prepare(network, method)
        return self.known[key]

    def release(self, network: nn.Module) -> None:
        self.known.clear()


class Blind(Converting):
    """Says that it runs views, and runs the network behind them."""

    runs_views: ClassVar[bool] = True

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        return super().prepare(network.__dict__.get("_origin", network), method)


class Marking(Converting):
    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        network.prepared = True
        return super().prepare(network, method)


class Casting(Converting):
    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        with torch.no_grad():
            for weight in network.parameters():
                weight.copy_(weight.to(torch.bfloat16))
        return super().prepare(network, method)

    tolerance = 0.05

    def depends_on(self, network: nn.Module) -> object:
        return None


class Hoarding(Converting):
    def __init__(self) -> None:
        self.networks: list[nn.Module] = []

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        self.networks.append(network)
        return super().prepare(network, method)


class Sentence(Converting):
    def refuses(self, component: str, network: nn.Module) -> str | None:
        return "It is unknown." if component == "unknown" else None


class Silent(Converting):
    def refuses(self, component: str, network: nn.Module) -> Any:
        return component == "unknown" or None


class Traced(Converting):
    """Follows the way that the first call took."""

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        run, traced = super().prepare(network, method), []

        def follow(*args: Any) -> Any:
            if not all(isinstance(one, Tensor) for one in args):
                return run(*args)
            if not traced:
                traced.append(torch.jit.trace(run, args, check_trace=False))
            return traced[0](*args)

        return follow


class Unpickled(Converting):
    """Comes out of a pickle as another engine."""

    def __reduce__(self) -> Any:
        return (Rough2, ())


class Rough2(Converting):
    name = "converting"

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        run = super().prepare(network, method)
        return lambda *args: run(*args) * 0.5


FAULTS: dict[str, list[type[NetworkEngine]]] = {
    "results": [Rough, Wrapped, Idle],
    "sizes": [Static],
    "threads": [Buffered],
    "picture": [Casting],
    "weights": [Stale],
    "several": [ByClass],
    "changed": [Blind],
    "untouched": [Marking, Casting],
    "released": [Hoarding],
    "refuses": [Sentence, Silent],
    "forks": [Traced],
    "copies": [Unpickled],
}


@pytest.fixture
def engined(doodle: Family, tmp_path: Path) -> Callable[..., Engined]:
    from autopipe.checkpoint.address import demo_folder
    from autopipe.registry import default_registry

    class Suite(EngineConformance):
        family = "doodle"
        size = (16, 16)

    def of(make: Callable[[], NetworkEngine]) -> Engined:
        folder = demo_folder("doodle", default_registry())
        return Engined(make, Suite()._subjects(folder, tmp_path))

    return of


@pytest.mark.parametrize("check", OF_AN_ENGINE)
def test_a_sound_engine_passes(check: str, engined: Callable[..., Engined]) -> None:
    OF_AN_ENGINE[check](engined(Converting))


@pytest.mark.parametrize("check", ["results", "weights", "changed"])
def test_compile_passes(check: str, engined: Callable[..., Engined]) -> None:
    torch._dynamo.reset()
    OF_AN_ENGINE[check](engined(lambda: Compile(backend="eager")))


@pytest.mark.parametrize(
    ("check", "engine"), [(check, engine) for check in FAULTS for engine in FAULTS[check]]
)
def test_each_fault_is_caught(
    check: str, engine: type[NetworkEngine], engined: Callable[..., Engined]
) -> None:
    with pytest.raises(AssertionError) as caught:
        OF_AN_ENGINE[check](engined(engine))
    said = str(caught.value).partition("\nassert")[0]
    assert said
    assert "assert" not in said.split()[:1]


def test_two_lines_check_an_engine(pytester: pytest.Pytester, doodle: Family) -> None:
    lines = """
        from autopipe_devkit.conformance import EngineConformance

        class TestCompile(EngineConformance):
            engine = "compile"
            family = "doodle"
            size = (16, 16)
            expected_failures = {expected}
    """

    def outcomes(expected: dict[str, str]) -> dict[str, int]:
        pytester.makepyfile(lines.replace("{expected}", repr(expected)))
        return pytester.runpytest_inprocess("-k", "refuses").parseoutcomes()

    assert outcomes({})["passed"] == 1
    assert outcomes({"refuses": "it never does"})["failed"] == 1
    assert "passed" not in outcomes({"refused": "there is no such check"})


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert FAULTS.keys() == OF_AN_ENGINE.keys()
