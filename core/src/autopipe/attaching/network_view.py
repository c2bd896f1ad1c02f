"""Views of networks: some modules are replaced, and all parameters are shared.

In a view, functions replace some modules, while the network itself is unchanged for other users.
Only the module objects on the path to these modules are copied; parameters, buffers and other
modules are shared. So a view takes no memory, has the same state dict, follows casts and moves, and
any number of views can be used in different threads.

Hooks of accelerate (offloading, device maps) work for the view, too: it uses its origin's hook in
every call. The result of `Module.compile` on the origin is not used.
"""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from torch import nn

from ..errors import ArgumentTypeError, PluginError

Answer: TypeAlias = Callable[..., Any]
"""`(module, *inputs) -> output`: replaces a module in a view; `module` is the original, or the
previous replacement."""


class Replacement:
    """An `Answer` that is a module, whose attributes the view shows in place of the original's.

    An `Answer` changes what a module computes. With this one the module itself is another one, for
    programs that read its attributes, such as the weight of an embedding table.

    Args:
        make: returns the new module, made of the original or of the previous replacement. Its
            tensors stay out of the state dict unless they are those of the original.
    """

    def __init__(self, make: Callable[[nn.Module], nn.Module]) -> None:
        self.make = make

    def __call__(self, module: nn.Module, *inputs: Any, **options: Any) -> Any:
        """Return what the new module computes."""
        return self.make(module)(*inputs, **options)


BOUND = ("forward", "_old_forward", "_hf_hook", "_compiled_call_impl")
"""Instance attributes of a module that are bound to it, so that a copy can't have them."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def view_of(network: nn.Module, answers: Iterable[Mapping[str, Answer]]) -> nn.Module:
    """Return a view of `network` in which the modules at some paths are replaced.

    Args:
        answers: mappings from the path of a module, such as `"down_blocks.0.attentions.0"`, or ""
            for the network itself, to its replacement; later ones wrap earlier ones.

    Raises:
        PluginError: if there is no module at a path.
    """
    # The network itself is the child of this one, so that it can be replaced like its modules.
    holder = nn.Module()
    holder._modules[""] = network
    copied: set[int] = set()
    _own_child(holder, "", copied)
    for by_path in answers:
        for path, answer in by_path.items():
            *parents, last = ["", *path.split(".")] if path else [""]
            parent = holder
            try:
                for part in parents:
                    parent = _own_child(parent, part, copied)
                original = parent._modules[last]
                assert original is not None
            except (KeyError, AssertionError):
                raise PluginError(
                    f"an attachment replaces the module {path!r}, which this "
                    f"{type(network).__name__} doesn't have"
                ) from None
            if isinstance(answer, Replacement):
                leaf = parent._modules[last] = answer.make(original)
            else:
                leaf = parent._modules[last] = _copy(original)
                # Hooks run when the answer calls the original, and only then.
                leaf.__dict__.update({name: OrderedDict() for name in _HOOKS})
            leaf.__dict__.update(_original=original, _answer=answer)
            copied.add(id(leaf))
    root = holder._modules[""]
    assert root is not None
    return root


def with_modules(network: nn.Module, modules: Mapping[str, nn.Module]) -> nn.Module:
    """Return a network of its own that has other modules at some paths, and shares the rest.

    Unlike a view it is a plain network, such as one with merged weights: it can be saved, and is
    placed on its own. `network` is unchanged.

    Args:
        modules: the new modules, by the path of those they replace.

    Raises:
        PluginError: if there is no module at a path.
    """
    made = _plain_copy(origin_of(network))
    own = {"": made}
    for path, module in modules.items():
        above = ""
        *parents, last = path.split(".")
        for part in (*parents, None):
            holder = own[above]
            name = last if part is None else part
            if holder._modules.get(name) is None:
                raise PluginError(
                    f"there is no module {path!r} in this {type(made).__name__} to replace"
                )
            if part is None:
                holder._modules[last] = module
                break
            above = f"{above}.{part}" if above else part
            if above not in own:
                child = holder._modules[part]
                assert child is not None
                own[above] = holder._modules[part] = _plain_copy(child)
    return made


def _plain_copy(module: nn.Module) -> nn.Module:
    made: nn.Module = object.__new__(type(module))
    made.__dict__.update({k: v for k, v in module.__dict__.items() if k not in BOUND})
    made.__dict__.update(_modules=dict(module._modules))
    return made


def _own_child(holder: nn.Module, name: str, copied: set[int]) -> nn.Module:
    """Return the child of that name as a copy that belongs to the view.

    Below a replaced module, it is the child of the original, which has the same children and is
    called by the replacement.
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
    """Return the network behind a view or an engine's stand-in; other objects unchanged."""
    while isinstance(component, StandIn):
        component = component.__dict__["_origin"]
    return component


def answers_of(module: nn.Module) -> list[Answer]:
    """Return the functions that run in place of `module` in a view, the outermost first."""
    found = []
    while "_answer" in module.__dict__:
        found.append(module.__dict__["_answer"])
        module = module.__dict__["_original"]
    return found


class StandIn:
    """An object that takes the place of a network, which is its `_origin`."""


class _View(StandIn):
    """The mix-in that is added to the class of every module that a view copies."""

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
            f"this {type(self).__name__} is a view with attachments, which can't be pickled; "
            f"pickle the pipeline, its state_dict(), or the network after deactivating them"
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
    """Return a module object with its own table of children, sharing everything else."""
    cls = type(module)
    made: nn.Module = object.__new__(cls if issubclass(cls, _View) else _view_class(cls))  # type: ignore[arg-type]
    made.__dict__.update({k: v for k, v in module.__dict__.items() if k not in BOUND})
    made.__dict__.update(_modules=dict(module._modules), _origin=module)
    return made
