"""The base of engines that convert a network for another runtime.

A network is converted in the first call with arguments of a new form, and what it computes is
cached without its weights. Later processes read that, and bind the tensors of the network to it.
One conversion serves all sizes and batches.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from autopipe.attaching.engine import EngineRefusal, NetworkEngine
from autopipe.attaching.recorder import difference
from autopipe.sizes import size_text
from autopipe.wording import logger

from .calls import Form, taken_apart
from .fingerprint import fingerprint
from .memory import available_memory, drop_mapped_pages
from .topologies import Entry, Topologies
from .tracing import Program, weights_of

_log = logger(__name__)

Packed: TypeAlias = Callable[[Sequence[Tensor]], list[Tensor]]
"""Computes the outputs from the inputs of a call. It may be called in several threads at once."""

_MOST_FORMS = 2
"""The forms of arguments of a method that are kept packed, each with the weights."""


class ConvertedEngine(NetworkEngine):
    """An engine that converts networks for another runtime.

    A subclass overrides `version`, `convert`, `load` and, if its packed weights take other memory
    than the network's, `packed_size`. The results of a new conversion are compared with those of
    the network; one that differs by more than `tolerance` is refused.

    Attributes:
        topologies: the cache of what networks compute.
    """

    def __init__(self) -> None:
        self.topologies = Topologies()

    # For subclasses

    def version(self) -> str:
        """Return what conversions depend on: the runtime with its version, and options."""
        raise NotImplementedError

    def convert(self, program: Program, folder: Path) -> None:
        """Write what `program` computes into `folder`, without its weights.

        `program.trace()` gives the operations; a runtime may use other means, if it sets
        `program.outputs` and `program.result`.

        Raises:
            EngineRefusal: if the runtime can't compute it.
        """
        raise NotImplementedError

    def load(self, folder: Path, weights: Mapping[str, Tensor]) -> Packed:
        """Return a function that computes what was written into `folder`.

        Args:
            weights: the network's own tensors, by the names of `program.weights`.

        Raises:
            EngineRefusal: if the runtime can't compute it.
            Exception: any other, if the content of the folder is damaged.
        """
        raise NotImplementedError

    def packed_size(self, weights: Mapping[str, Tensor]) -> int:
        """Return the bytes that the runtime takes for its copy of the weights."""
        return sum(one.nbytes for one in weights.values())

    # The engine

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        weights = weights_of(network)
        for one in weights.values():
            if one.device.type != "cpu":
                raise EngineRefusal(f"it is on {one.device}, and this engine runs on the CPU")
            if one.is_floating_point() and one.dtype != torch.float32:
                kind = str(one.dtype).removeprefix("torch.")
                raise EngineRefusal(
                    f"its weights are {kind}; load it in float32, which the engine casts itself"
                )
        for setting in ("use_tiling", "use_slicing"):
            if getattr(network, setting, False):
                raise EngineRefusal(f"it works in pieces ({setting} is on)")
        return _Method(self, network, method, weights)


@dataclass(frozen=True)
class _Ready:
    """A packed form: the function, and the form of its results."""

    run: Packed
    result: Form


class _Method:
    """Runs a method of a network, converted for each form of its arguments."""

    def __init__(
        self, engine: ConvertedEngine, network: nn.Module, method: str, weights: dict[str, Tensor]
    ) -> None:
        self._engine, self._network, self._method = engine, network, method
        self._weights = weights
        self._ready: OrderedDict[Form, _Ready] = OrderedDict()
        self._refused: dict[Form, str] = {}
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        form, tensors = taken_apart((args, kwargs))
        ready = self._of(form, tensors)
        (made,) = ready.result.filled(ready.run(tensors))
        return made

    def _of(self, form: Form, tensors: Sequence[Tensor]) -> _Ready:
        with self._lock:
            if form in self._refused:
                raise EngineRefusal(self._refused[form])
            ready = self._ready.get(form)
            if ready is None:
                try:
                    while len(self._ready) >= _MOST_FORMS:
                        self._ready.popitem(last=False)
                    ready = self._ready[form] = self._made(form, tensors)
                except EngineRefusal as refusal:
                    self._refused[form] = str(refusal)
                    raise
            self._ready.move_to_end(form)
            return ready

    def _made(self, form: Form, tensors: Sequence[Tensor]) -> _Ready:
        self._check_memory()
        engine, topologies = self._engine, self._engine.topologies
        key = fingerprint(self._network, self._weights, engine.version(), self._method, form.text)
        entry = topologies.find(key)
        if entry is not None:
            try:
                return self._loaded(entry)
            except EngineRefusal:
                raise
            except Exception as error:
                _log.warning("the cached topology %s can't be read (%s)", entry.folder.name, error)
        program = Program(self._network, self._method, form, tensors)

        def write(folder: Path) -> Mapping[str, Any]:
            engine.convert(program, folder)
            return {
                "engine": engine.name,
                "network": type(self._network).__name__,
                "method": self._method,
                "result": program.result.to_json(),
            }

        entry, done = topologies.add(key, write)
        try:
            ready = self._loaded(entry)
            self._check(ready, program)
        except BaseException:
            topologies.remove(entry)
            raise
        finally:
            done()
        return ready

    def _loaded(self, entry: Entry) -> _Ready:
        result = Form.from_json(entry.about["result"])
        run = self._engine.load(entry.folder, self._weights)
        return _Ready(_dropping(run, self._weights), result)

    def _check_memory(self) -> None:
        needed, free = self._engine.packed_size(self._weights), available_memory()
        if free is not None and needed > free:
            self._ready.clear()  # Another form may have the memory.
            free = available_memory()
        if free is not None and needed > free:
            raise EngineRefusal(
                f"its packed weights take {size_text(needed)} beside the network, and "
                f"{size_text(free)} of memory is free"
            )

    def _check(self, ready: _Ready, program: Program) -> None:
        """Compare the results for an example of other sizes with those of the network."""
        program.compute()
        made = ready.run(program.inputs)
        if [one.shape for one in made] != [one.shape for one in program.outputs]:
            raise EngineRefusal("its converted form gives a result of another shape")
        apart = difference(made, program.outputs)
        if not apart <= self._engine.tolerance:
            raise EngineRefusal(
                f"its converted form differs by {apart:.2g} of the largest value, more than its "
                f"tolerance of {self._engine.tolerance:.2g}"
            )


def _dropping(run: Packed, weights: Mapping[str, Tensor]) -> Packed:
    """Return `run`, which gives back the mapped pages of the weights after its first use.

    Runtimes pack weights when they are first used.
    """
    first = threading.Lock()

    def dropping(tensors: Sequence[Tensor]) -> list[Tensor]:
        made = run(tensors)
        if first.acquire(blocking=False):
            drop_mapped_pages(weights.values())
        return made

    return dropping
