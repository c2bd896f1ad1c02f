"""Provides `torch.compile` as an engine, for each block that a network repeats."""

from __future__ import annotations

import types
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeAlias

import torch
from torch import nn

from autopipe.attaching.engine import NetworkEngine, state_of
from autopipe.attaching.network_view import Answer, origin_of, view_of
from autopipe.errors import ArgumentTypeError
from autopipe.wording import shown

Kind: TypeAlias = tuple[object, ...]
"""What blocks have in common that share one compiled function: class, weights, and wrapping."""


class Compile(NetworkEngine):
    """Engine that compiles the blocks of which a network has several, such as its layers.

    Blocks of one class whose weights have the same shapes share a compiled function. Parts that
    don't repeat stay in eager mode, since compiling takes seconds for each kind; but a network
    without repeated blocks is compiled as a whole. Weights are inputs of what is compiled: nothing
    is compiled again for other steps, prompts, weights, or add-ons of the same structure. The
    second size of pictures compiles once more, for any size, unless `dynamic` says otherwise.

    The network itself, its attributes and what is saved are unchanged.

    Args:
        **options: keyword arguments of `torch.compile`, such as `mode`, `backend` or `dynamic`.

    Raises:
        ArgumentTypeError: if `torch.compile` doesn't have one of the options.
    """

    name = "compile"
    runs_views: ClassVar[bool] = True

    def __init__(self, **options: Any) -> None:
        known = ("backend", "dynamic", "fullgraph", "mode", "options")
        for name in options:
            if name not in known:
                raise ArgumentTypeError(
                    f"the engine compile has no option {shown(name)}; it has {', '.join(known)}"
                )
        self.options = options
        self._compiled: dict[Kind, Callable[..., Any]] = {}
        self._blocks = weakref.WeakKeyDictionary[nn.Module, Mapping[str, Kind]]()

    def __getstate__(self) -> dict[str, Any]:
        return {"options": self.options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["options"])  # type: ignore[misc]

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        origin = origin_of(network)
        if origin not in self._blocks:
            self._blocks[origin] = repeated_blocks(origin)
        blocks = self._blocks[origin]
        if not blocks:
            return self._compile((type(network), method), getattr(network, method))
        answers = {path: self._answer((*kind, network is origin)) for path, kind in blocks.items()}
        view = view_of(network, [answers])
        prepared: Callable[..., Any] = view if method == "forward" else getattr(view, method)
        return prepared

    def release(self, network: nn.Module) -> None:
        """Release the compiled functions, unless another network uses them."""
        self._blocks.pop(network, None)
        used = {kind for blocks in self._blocks.values() for kind in blocks.values()}
        self._compiled = {k: one for k, one in self._compiled.items() if k[:-1] in used}

    def version(self) -> str:
        """Return the version of torch, and the options."""
        return f"{torch.__version__} {self.options}"

    def effort(self, network: nn.Module) -> float:
        """Return some seconds for each kind of blocks."""
        return _SECONDS * len(set(repeated_blocks(network).values()) or {network})

    def depends_on(self, network: nn.Module) -> object:
        """Return the state of the network without its weights, which the functions follow."""
        return state_of(network, weights=False)

    def _answer(self, kind: Kind) -> Answer:
        if kind not in self._compiled:
            # Compiled code is kept with a code object, of which each kind has its own. Otherwise
            # all of them together would soon reach torch's limit for one.
            own = types.FunctionType(_call.__code__.replace(), globals(), f"call_{kind[0]}")
            self._compiled[kind] = self._compile(kind, own)
        return self._compiled[kind]

    def _compile(self, kind: Kind, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = torch.compile(function, **self.options)
        return compiled


_SECONDS = 7.0
"""About how long torch's own compiler takes for a kind of blocks on a CPU."""


def _call(block: nn.Module, *args: Any, **kwargs: Any) -> Any:
    return block(*args, **kwargs)


def repeated_blocks(network: nn.Module) -> dict[str, Kind]:
    """Return the path and kind of each block whose kind `network` has at least twice.

    Modules of torch.nn, and those without children, are parts of blocks. Blocks are as large as
    possible, and don't contain each other.
    """
    kinds = {
        path: _kind_of(module)
        for path, module in network.named_modules()
        if path and module._modules and not type(module).__module__.startswith("torch.nn.")
    }
    counts = Counter(kinds.values())
    found: dict[str, Kind] = {}
    # The path of a module comes before those of its parts.
    for path, kind in kinds.items():
        if counts[kind] > 1 and not any(path.startswith(f"{outer}.") for outer in found):
            found[path] = kind
    return found


def _kind_of(module: nn.Module) -> Kind:
    weights = tuple((name, tuple(one.shape)) for name, one in module.named_parameters())
    return type(module), weights
