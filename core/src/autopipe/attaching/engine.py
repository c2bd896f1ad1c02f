"""The base class of engines, which run a network in place of torch's eager mode.

An engine belongs to the pool of weights, so all pipelines that share a network share what the
engine prepared for it. The network is not changed: a call uses the engine's function in its place.
If the engine can't run the network, the call uses the network itself, and a warning is logged once.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeVar

from torch import Tensor, nn

from ..errors import AutopipeError, PluginError
from ..modeling import is_entry_point
from ..resolution.guard import guarded
from .network_view import StandIn

_Self = TypeVar("_Self", bound="NetworkEngine")


class EngineRefusal(AutopipeError, RuntimeError):
    """Raised by an engine that can't run a network, or can't run it with these arguments.

    The message is the reason, as the end of a sentence. Eager mode then runs the network.
    """


class NetworkEngine:
    """The base of all engines.

    Attributes:
        name: the name of the engine.
        tolerance: the largest difference between its outputs and those of eager mode, relative to
            the largest absolute value of the output.
        bitwise_in_threads: whether concurrent calls give bitwise the same results as serial ones.
        runs_views: whether it also runs networks that attachments change. Such a network is a view
            that lasts for one call: it is prepared in each call, and `release` is not called.
    """

    name: ClassVar[str] = ""
    tolerance: float = 1e-4
    bitwise_in_threads: ClassVar[bool] = True
    runs_views: ClassVar[bool] = False

    def __deepcopy__(self: _Self, memo: object) -> _Self:
        """Return the engine itself: copies of a pipeline share it."""
        return self

    def refuses(self, component: str, network: nn.Module) -> str | None:
        """Return why this engine can't run `network`, as the end of a sentence; None if it can.

        Called for each call of a pipeline, so it must be quick. Networks in training mode, with
        hooks or with attachments are refused beforehand.
        """
        return None

    def prepare(self, network: nn.Module, method: str) -> Callable[..., Any]:
        """Return the function to call in place of `network.method` (mostly `"forward"`).

        Called once for each network and method, in the first call that needs it, and again after
        `depends_on` has changed. The function may be called in several threads at once.

        Raises:
            EngineRefusal: if it can't run this method. The function may raise it, too, for
                arguments that it can't take.
        """
        raise NotImplementedError

    def release(self, network: nn.Module) -> None:
        """Release what was prepared for `network`. Another thread may still be running it."""

    def explain(self, network: nn.Module) -> str:
        """Return what the engine does for `network`, in a few words for `pipe.explain()`."""
        return ""

    def version(self) -> str:
        """Return what speed and results depend on, such as the version of a runtime, and options.

        A choice of engines that was measured is remembered for this version.
        """
        return ""

    def effort(self, network: nn.Module) -> float:
        """Return about how many seconds `prepare` takes, if that is more than a few; else 0."""
        return 0.0

    def depends_on(self, network: nn.Module) -> object:
        """Return what the prepared functions depend on, to compare with `==`.

        If it differs at the start of a call, the network is released and prepared again. The
        default is `state_of(network)`; override it if the functions follow some changes.
        """
        return state_of(network)


def state_of(network: nn.Module, weights: bool = True) -> list[object]:
    """Return the state of a network: its modules with their simple attributes, and its weights.

    It differs if a module or a tensor was replaced, a tensor changed in place, or an attribute such
    as `training` has another value. Writing to `tensor.data` in place, which torch doesn't count,
    is not noticed.

    Args:
        weights: False leaves out the tensors.
    """
    found: list[object] = []
    for module in network.modules():
        tensors = (*module._parameters.values(), *module._buffers.values()) if weights else ()
        stamps = [None if tensor is None else _stamp(tensor) for tensor in tensors]
        found.append((weakref.ref(module), plain_attributes(module), stamps))
    return found


_PLAIN = (bool, int, float, str, type(None))


def plain_attributes(module: nn.Module) -> dict[str, object]:
    """Return the attributes of a module that are numbers, strings, flags or None, by name."""
    return {name: value for name, value in vars(module).items() if type(value) in _PLAIN}


def _stamp(tensor: Tensor) -> tuple[object, ...]:
    try:
        # A reference, since the address of memory that was freed may be in use again.
        memory: object = weakref.ref(tensor.untyped_storage())
    except NotImplementedError:
        memory = weakref.ref(tensor)
    version = None if tensor.is_inference() else tensor._version
    return memory, version, tensor.dtype, tensor.shape, tensor.stride()


def asking(engine: NetworkEngine) -> guarded:
    """Return a context manager for code of an engine, whose errors say how to do without it."""
    return guarded(
        lambda reason: PluginError(
            f"the engine {name_of(engine)} failed ({reason}); call use_engine(None) to do without "
            f"it"
        )
    )


def name_of(engine: NetworkEngine) -> str:
    """Return the name of an engine; that of its class if it has none."""
    return engine.name or type(engine).__name__


class Run(Protocol):
    """Runs a method of a network."""

    def __call__(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Return what the method returns."""


class EngineNetwork(StandIn):
    """The stand-in of a network during a call: calling it calls the engine."""

    def __init__(self, network: nn.Module, run: Run) -> None:
        self._origin, self._run = network, run

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The class of the network, so that `isinstance` answers as for the network."""
        return type(self.__dict__["_origin"])

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run("forward", *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_origin" not in self.__dict__:
            raise AttributeError(name)
        found = getattr(self._origin, name)
        if not is_entry_point(type(self._origin), name):
            return found
        return lambda *args, **kwargs: self._run(name, *args, **kwargs)
