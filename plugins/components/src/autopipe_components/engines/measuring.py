"""Measures engines against torch's eager mode, on a call of a network."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from autopipe.attaching.engine import EngineRefusal, NetworkEngine
from autopipe.attaching.recorder import NetworkCall, difference
from autopipe.errors import AutopipeError
from autopipe.manifest import EAGER
from autopipe.registry import default_registry
from autopipe.resolution.targets import load_target
from autopipe.wording import error_summary

from .choosing import AUTO

WORTH = 0.9
"""The largest share of eager mode's time that counts as faster; two runs differ by as much."""

_ROUNDS = 7
_LONG_ENOUGH = 1.0
"""Seconds in each engine after which the median of three rounds is good enough."""


@dataclass(frozen=True)
class Measured:
    """What was measured of an engine.

    Attributes:
        engine: its name.
        seconds: the median time of a call; None if it was not measured.
        ratio: the median share of eager mode's time in the same round.
        difference: the largest difference of the output, relative to the largest value of it.
        ready: the seconds until the first output.
        why: why it was not measured, or can't be used; else empty.
    """

    engine: str
    seconds: float | None = None
    ratio: float | None = None
    difference: float | None = None
    ready: float = 0.0
    why: str = ""

    @property
    def usable(self) -> bool:
        """Whether it was measured, and its outputs are within its tolerance."""
        return self.seconds is not None and not self.why

    def as_plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def installed_engines(names: Sequence[str] = ()) -> dict[str, NetworkEngine | str]:
    """Return the installed engines but `auto`, or those named; a reason for one that fails.

    Raises:
        MissingPluginError: if there is no engine of a name.
    """
    found: dict[str, NetworkEngine | str] = {}
    registry = default_registry()
    for name in names or [name for name in registry.of("engine") if name != AUTO]:
        target = registry.entry("engine", name).target
        try:
            found[name] = load_target(target)()
        except Exception as error:
            found[name] = error_summary(error)
    return found


@torch.no_grad()
def measure(
    component: str,
    call: NetworkCall,
    engines: Mapping[str, NetworkEngine | str],
    seconds: float,
) -> list[Measured]:
    """Measure a call in eager mode and by each engine, in alternation.

    Each engine is prepared, compared with eager mode, timed in turn with it, and released before
    the next one, so that at most one takes memory at a time.

    Args:
        component: the name of the network in its pipeline.
        engines: by name; a string is the reason why one can't be used.
        seconds: the time that this may take in all; an engine whose preparation would take longer
            than what is left is left out.

    Returns:
        eager mode, then the engines.
    """
    started = time.perf_counter()
    expected, eager = _timed(call.eager)
    found: list[Measured] = []
    baseline = [eager]
    for name, engine in engines.items():
        left = seconds - (time.perf_counter() - started)
        if isinstance(engine, str):
            found.append(Measured(name, why=engine))
            continue
        why = engine.refuses(component, call.network)
        least = max(engine.effort(call.network), eager)
        if why is None and least > left:
            why = f"not tried: it takes about {least:.0f} s, and {max(left, 0):.0f} s are left"
        if why is not None:
            found.append(Measured(name, why=why))
            continue
        try:
            found.append(_measured(name, engine, call, expected, left, baseline))
        except (AutopipeError, RuntimeError, TypeError, ValueError, NotImplementedError) as error:
            text = str(error) if isinstance(error, EngineRefusal) else error_summary(error)
            found.append(Measured(name, why=text))
        finally:
            engine.release(call.network)
    return [Measured(EAGER, statistics.median(baseline), 1.0, 0.0), *found]


def _measured(
    name: str,
    engine: NetworkEngine,
    call: NetworkCall,
    expected: Any,
    left: float,
    baseline: list[float],
) -> Measured:
    started = time.perf_counter()
    run = engine.prepare(call.network, call.method)
    made = call.by(run)
    ready = time.perf_counter() - started
    apart = difference(made, expected)
    why = ""
    if not apart <= engine.tolerance:
        why = (
            f"its output differs by {apart:.1e}, more than its tolerance of {engine.tolerance:.0e}"
        )
    call.by(run)  # Some pack their weights only now.
    times: list[tuple[float, float]] = []
    while not times or (len(times) < _ROUNDS and time.perf_counter() - started < left):
        times.append((_timed(call.eager)[1], _timed(lambda: call.by(run))[1]))
        spent = sum(own for _, own in times)
        if len(times) >= 3 and spent > _LONG_ENOUGH:
            break
    baseline += [eager for eager, _ in times]
    ratio = statistics.median(own / eager for eager, own in times)
    seconds = statistics.median(own for _, own in times)
    return Measured(name, seconds, ratio, apart, ready, why)


def best(found: Sequence[Measured]) -> str:
    """Return the name of the fastest usable engine that is worth it; else `"eager"`."""
    usable = [one for one in found if one.usable and one.ratio is not None]
    fastest = min(usable, key=lambda one: one.ratio or 0.0, default=None)
    if fastest is None or (fastest.ratio or 1.0) > WORTH:
        return EAGER
    return fastest.engine


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    _wait()
    started = time.perf_counter()
    made = call()
    _wait()
    return made, time.perf_counter() - started


def _wait() -> None:
    """Wait for the accelerator, which computes beside the program."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
