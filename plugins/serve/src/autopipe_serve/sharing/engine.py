"""Provides `shared`, the engine that computes the steps of several calls in one forward pass."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from autopipe.attaching.engine import NetworkEngine, name_of
from autopipe.attaching.recorder import difference, tensors_in
from autopipe.errors import ArgumentError, ArgumentTypeError
from autopipe.pipeline.attaching import made_of
from autopipe.placement.base import networks_of
from autopipe.wording import logger, reason, shown

from .gathering import ALONE, Gathering
from .rows import NotInRows, Rows, joined, reader_of, split

_log = logger(__name__)

_CHOOSING = threading.Lock()

_ROUNDING = 8
"""How many of its dtype's smallest relative differences an output may be away, after a hundred
layers in a precision of 8 or 11 bits."""


class Shared(NetworkEngine):
    """Engine that computes the calls of several threads in one forward pass, each its own rows.

    It is for networks that are asked in the steps of a loop, such as U-Nets and ControlNets, on a
    server that draws several requests at once. Calls whose rows have equal sizes, dtypes and
    devices are joined, whatever their prompts, seeds, guidance scales, schedulers and numbers of
    steps are; the timestep is given for each row. A call waits only for callers that got a result
    just now, so a single one doesn't wait. All others are computed alone: other sizes, arguments
    without a row for each sample, and networks that add-ons change.

    What a call gets equals what it gets alone up to rounding, since kernels for other numbers of
    rows add in another order; so the last bits depend on which calls come together. A call that
    nobody joins is bitwise that of eager mode. Before a network's first shared pass of a kind, it
    is tried out whether its rows depend on each other; then it is not shared.

    Args:
        rows: the most rows of a pass. A call with guidance has two rows for each image. The memory
            of the activations grows with them.
        patience: for how many seconds after a pass its callers are expected to come again, if that
            is more than a tenth of the time that the pass took.
        of: an engine that computes the passes, such as `Compile()`; None for eager mode.

    Attributes:
        calls: the number of calls that could be shared, up to now.
        passes: the number of forward passes in which they were computed.
        gathering: the calls that wait.

    Raises:
        ArgumentError: if `rows` is less than 2, or `patience` is negative.
        ArgumentTypeError: if `of` is not an engine.
    """

    name = "shared"
    bitwise_in_threads: ClassVar[bool] = False

    def __init__(
        self, rows: int = 16, patience: float = 0.005, of: NetworkEngine | None = None
    ) -> None:
        if rows < 2 or not patience >= 0:
            raise ArgumentError(
                f"rows={shown(rows)} and patience={shown(patience)} are not at least 2 rows and 0 "
                f"seconds"
            )
        if of is not None and not isinstance(of, NetworkEngine):
            raise ArgumentTypeError(f"of={shown(of)} is not a NetworkEngine")
        self.rows, self.patience, self.of = rows, patience, of
        self.calls = self.passes = 0
        self.gathering = Gathering(rows, patience)
        self._counting = threading.Lock()
        if of is not None:
            self.tolerance = of.tolerance + type(self).tolerance

    def __reduce__(self) -> Any:
        return Shared, (self.rows, self.patience, self.of)

    def refuses(self, component: str, network: nn.Module) -> str | None:
        if not is_shareable(network):
            return "it takes no timestep, so its calls are not the steps of a loop"
        return None if self.of is None else self.of.refuses(component, network)

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        if self.of is not None:
            run = self.of.prepare(network, method)
        else:
            run = network if method == "forward" else getattr(network, method)
        read = reader_of(network) if method == "forward" else None
        return run if read is None else _Sharing(self, run, read)

    def release(self, network: nn.Module) -> None:
        if self.of is not None:
            self.of.release(network)

    def depends_on(self, network: nn.Module) -> object:
        """Return what `of` depends on. Without it, passes follow all changes of the network."""
        return None if self.of is None else self.of.depends_on(network)

    def effort(self, network: nn.Module) -> float:
        """Return that of `of`."""
        return 0.0 if self.of is None else self.of.effort(network)

    def version(self) -> str:
        """Return the version of torch, and what computes the passes."""
        return f"{torch.__version__} {'' if self.of is None else self.of.version()}"

    def explain(self, network: nn.Module) -> str:
        """Return how many calls were shared, and what computes them."""
        by = "" if self.of is None else f" by {name_of(self.of)}"
        return f"{self.calls} calls in {self.passes} passes{by}"

    def count(self, calls: int, passes: int) -> None:
        """Add to the numbers of calls and passes."""
        with self._counting:
            self.calls += calls
            self.passes += passes


def is_shareable(network: nn.Module) -> bool:
    """Whether a network takes samples and a timestep, so that its calls may be shared."""
    return reader_of(network) is not None


class _Sharing:
    """Runs a network for several threads.

    Args:
        run: computes its forward pass.
        read: reads the arguments of a call.
    """

    def __init__(
        self, engine: Shared, run: Callable[..., Any], read: Callable[..., Rows | None]
    ) -> None:
        self._engine, self._run, self._read = engine, run, read
        self._tried: set[Hashable] = set()
        self._inseparable: set[Hashable] = set()
        self._mixes = True
        self._own = object()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        rows = self._read(*args, **kwargs)
        if rows is None or rows.tree in self._inseparable:
            return self._run(*args, **kwargs)
        if rows.count >= self._engine.rows:
            return self._alone(rows)
        # Not the function itself, which the gathering would keep alive with its network.
        key = (self._own, rows.key, None if self._mixes else rows.timesteps.dtype)
        made = self._engine.gathering.result(rows, key, self._results)
        return self._alone(rows) if made is ALONE else made

    def _results(self, parts: Sequence[Rows]) -> Sequence[Any]:
        """Return the result of each part from one pass, or `ALONE` for all."""
        if len(parts) == 1:
            return [self._alone(parts[0])]
        try:
            found = self._together(parts) if self._may_join(parts) else None
        except Exception as error:
            # Each call gets its own error, or its result, when it is computed alone.
            _log.info("%d calls are computed one by one: %s", len(parts), reason(error))
            found = None
        if found is None:
            return [ALONE] * len(parts)
        _finish(parts[0])
        self._engine.count(len(parts), 1)
        return found

    def _may_join(self, parts: Sequence[Rows]) -> bool:
        """Whether rows don't depend on each other; tried out with the first parts of a kind."""
        dtypes = frozenset(part.timesteps.dtype for part in parts)
        kind = parts[0].tree, dtypes
        if kind in self._tried:
            return True
        is_mixed = len(dtypes) > 1
        try:
            found = self._try_out(parts)
        except Exception:
            if not is_mixed:
                raise
            found = False  # It may look timesteps up in a table, by whole numbers.
        if found:
            self._tried.add(kind)
        elif found is False and is_mixed:
            self._mixes = False
        elif found is False:
            self._inseparable.add(parts[0].tree)
            _log.warning("forward passes are not shared: the rows of one depend on each other")
        return bool(found)

    def _try_out(self, parts: Sequence[Rows]) -> bool | None:
        """Return whether the last part's result stays if the others have other timesteps.

        None if that can't be told, because the network doesn't give numbers.
        """
        last = parts[-1]
        expected = self._run_joined([last])
        if not all(one.isfinite().all() for one in tensors_in(expected)):
            return None
        other = (last.timesteps[:1] == 0).to(last.timesteps.dtype)
        changed = [part.with_timesteps(other.to(part.timesteps.dtype)) for part in parts[:-1]]
        try:
            found = self._together([*changed, last])[-1]
        except NotInRows:
            return False
        tolerance = max([self._engine.tolerance, *map(_rounding, tensors_in(expected))])
        return difference(found, expected) <= tolerance

    def _together(self, parts: Sequence[Rows]) -> list[Any]:
        return split(self._run_joined(parts), [part.count for part in parts])

    def _run_joined(self, parts: Sequence[Rows]) -> Any:
        args, kwargs = joined(parts)
        return self._run(*args, **kwargs)

    def _alone(self, rows: Rows) -> Any:
        """Compute a call by itself."""
        self._engine.count(1, 1)
        if self._engine.of is not None:
            # Engines may prepare other forms of arguments anew, with a copy of the weights each.
            return self._run_joined([rows])
        args, kwargs = rows.given
        return self._run(*args, **kwargs)


def _rounding(tensor: Tensor) -> float:
    return _ROUNDING * torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0


def _finish(rows: Rows) -> None:
    """Wait for an accelerator, so that callers that need its results go on with the others."""
    if rows.timesteps.device.type == "cuda":
        torch.cuda.current_stream(rows.timesteps.device).synchronize()


def share(pipe: Any, rows: int = 16) -> None:
    """Let calls of all pipelines that share the weights of `pipe` share their forward passes.

    Engines that were chosen before stay, and compute the shared passes. Calling it again changes
    nothing, so a server may do so before every call:
    `draw(requests, pipelines, before=lambda ready: share(ready.pipe))`. It draws several requests
    at once, each in a thread.

    Args:
        pipe: a pipeline.
        rows: see `Shared`.
    """
    with _CHOOSING:
        chosen = dict(pipe.engines)
        if Shared.name in chosen.values():
            return
        found: dict[str, Any] = dict(chosen)
        # Networks that are asked in turn gather their calls in one place.
        engines: dict[str | None, Shared] = {}
        for name, network in networks_of(pipe.components).items():
            if is_shareable(network):
                by = chosen.get(name)
                if by not in engines:
                    engines[by] = Shared(rows, of=by and made_of("engine", NetworkEngine, by))
                found[name] = engines[by]
        if engines:
            pipe.use_engine(found)
