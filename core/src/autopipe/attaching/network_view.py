"""Views of networks: other layers at some places, the same parameters everywhere.

A view is a network in which some modules answer otherwise, while the network itself stays as it
is for everybody else. Only the module objects on the way to those are copied; every parameter,
buffer and other module is shared, so a view takes no memory, has the same names in its state
dict, follows casts and moves, and any number of them can be used in as many threads.

What hooks of accelerate do for the network (offloading, device maps) they do for the view: it
asks its origin's hook at every call. What `Module.compile` left on the origin is not taken along.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from torch import nn

from ..errors import ArgumentTypeError, PluginError

Answer: TypeAlias = Callable[..., Any]
"""`(module, *inputs) -> output`: what a view's module gives; calling `module` gives the original's
answer, or that of the answer put there before."""

_NOT_COPIED = ("forward", "_old_forward", "_hf_hook", "_compiled_call_impl")
"""What an instance may have of its own that is bound to the origin."""


def view_of(network: nn.Module, answers: Iterable[Mapping[str, Answer]]) -> nn.Module:
    """A view of `network` where the modules at some paths answer otherwise.

    Args:
        answers: mappings from the path of a module, such as `"down_blocks.0.attentions.0"`, to its
            answer; later ones are put around earlier ones.

    Raises:
        PluginError: there is no module at a path.
    """
    root = _copy(network)
    copied = {id(root)}
    for by_path in answers:
        for path, answer in by_path.items():
            *parents, last = path.split(".")
            holder = root
            try:
                for part in parents:
                    holder = _own_child(holder, part, copied)
                original = holder._modules[last]
                assert original is not None
            except (KeyError, AssertionError):
                raise PluginError(
                    f"there is no module {path!r} in this {type(network).__name__}, which an "
                    f"attachment asks to answer otherwise"
                ) from None
            leaf = holder._modules[last] = _copy(original)
            leaf.__dict__.update(_original=original, _answer=answer)
            copied.add(id(leaf))
    return root


def _own_child(holder: nn.Module, name: str, copied: set[int]) -> nn.Module:
    """The child of that name, a copy that is the view's own.

    Below a module that answers otherwise it is that of its original, whose children the answer
    uses; both have the same ones.
    """
    child = holder._modules[name]
    assert child is not None
    if id(child) not in copied:
        child = holder._modules[name] = _copy(child)
        copied.add(id(child))
    while "_answer" in child.__dict__:
        original = child.__dict__["_original"]
        if id(original) not in copied:
            original = _copy(original)
            copied.add(id(original))
            child.__dict__["_original"] = original
        child._modules = original._modules
        child = original
    return child


def origin_of(component: Any) -> Any:
    """The network that a view, or what an engine runs, is of; anything else as it is."""
    while isinstance(component, Standing):
        component = component.__dict__["_origin"]
    return component


class Standing:
    """What stands in the place of a network, which it has as `_origin`."""


class _View(Standing):
    """What is put before the class of every module that is copied for a view."""

    @property
    def _hf_hook(self) -> Any:
        try:
            return self.__dict__["_origin"].__dict__["_hf_hook"]
        except KeyError:
            raise AttributeError("_hf_hook") from None

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        made = memo[id(self)] = object.__new__(type(self))
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise ArgumentTypeError(
            f"this {type(self).__name__} is a view in which attachments act, and can't be pickled; "
            f"pickle the pipeline, its state_dict(), or the network once they are switched off"
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        state = self.__dict__
        if "_answer" in state:
            return state["_answer"](state["_original"], *args, **kwargs)
        hook = state["_origin"].__dict__.get("_hf_hook")
        if hook is None:
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        args, kwargs = hook.pre_forward(state["_origin"], *args, **kwargs)
        return hook.post_forward(state["_origin"], super().forward(*args, **kwargs))  # type: ignore[misc]


@functools.cache
def _view_class(cls: Any) -> type:
    return type(cls.__name__, (_View, cls), {"__module__": cls.__module__, "__doc__": cls.__doc__})


def _copy(module: nn.Module) -> nn.Module:
    """A module object with children of its own to change, and all else of `module`."""
    cls = type(module)
    made: nn.Module = object.__new__(cls if issubclass(cls, _View) else _view_class(cls))  # type: ignore[arg-type]
    made.__dict__.update({k: v for k, v in module.__dict__.items() if k not in _NOT_COPIED})
    made.__dict__.update(_modules=dict(module._modules), _origin=module)
    made.__dict__.pop("_answer", None)
    return made
