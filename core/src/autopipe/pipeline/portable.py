"""Checks whether parts of a pipeline can be copied or pickled."""

from __future__ import annotations

import io
import pickle
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ..errors import ArgumentTypeError


@contextmanager
def refused(what: str, one: object, done: str) -> Iterator[None]:
    """Context manager that converts errors to an `ArgumentTypeError`: `what` can't be `done`."""
    try:
        yield
    except Exception as error:
        raise ArgumentTypeError(
            f"{what}, a {type(one).__name__}, can't be {done} with the pipeline "
            f"({type(error).__name__}: {error}); remove it first"
        ) from error


def check_pickles(what: str, one: object, apart: tuple[type, ...]) -> None:
    """Raise `ArgumentTypeError` if `one`, called `what` in the message, can't be pickled.

    Args:
        apart: classes whose objects are not checked.
    """
    with refused(what, one, "pickled"):
        _Trial(apart).dump(one)


_HOOKED = "_output_capturing_hooks_installed"
_HOOKS_OF = "transformers.utils.output_capturing"

_bare = weakref.WeakKeyDictionary[nn.Module, Callable[[], nn.Module | None]]()


def is_hook_of_transformers(hook: object) -> bool:
    """Whether `hook` only collects outputs of layers, if a call of transformers requests them."""
    return getattr(hook, "__module__", None) == _HOOKS_OF


def without_hooks(network: nn.Module) -> nn.Module:
    """Return a copy of `network` that can be pickled: the same tensors, without certain hooks.

    transformers adds these hooks in the first call with hidden states, and again if they are
    missing. A network without them is returned itself. While a copy is in use, the same copy is
    returned again, so that two pipelines in one pickle share it.
    """
    if not any(_HOOKED in vars(module) for module in network.modules()):
        return network
    known = _bare.get(network, lambda: None)()
    if known is not None:
        return known
    made: dict[nn.Module, nn.Module] = {}
    for module in network.modules():
        one = made[module] = object.__new__(type(module))
        one.__dict__.update({n: v for n, v in vars(module).items() if n != _HOOKED})
        hooks = module._forward_hooks.items()
        kept = {number: hook for number, hook in hooks if not is_hook_of_transformers(hook)}
        one.__dict__["_forward_hooks"] = OrderedDict(kept)
    for module, one in made.items():
        children = module._modules.items()
        one.__dict__["_modules"] = {n: child and made[child] for n, child in children}
    _bare[network] = weakref.ref(made[network])
    return made[network]


class _Trial(pickle.Pickler):
    """A pickler that leaves out tensors and whose output is discarded."""

    def __init__(self, apart: tuple[type, ...]) -> None:
        super().__init__(io.BytesIO())
        self._apart = (Tensor, *apart)

    def persistent_id(self, obj: Any) -> str | None:
        return "left out" if isinstance(obj, self._apart) else None
