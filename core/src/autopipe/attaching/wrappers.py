"""Networks inside wrappers, which compile, train or adapt a network or its parts.

A wrapper is known by the name of its class, so that none of their libraries is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..resolution.targets import target_of
from ..wording import listed, logger

_log = logger(__name__)

_INSIDE: Mapping[str, str] = {
    "torch._dynamo.eval_frame:OptimizedModule": "_orig_mod",
    "torch.nn.parallel.distributed:DistributedDataParallel": "module",
    "torch.nn.parallel.data_parallel:DataParallel": "module",
    "torch.distributed.fsdp.fully_sharded_data_parallel:FullyShardedDataParallel": (
        "_fsdp_wrapped_module"
    ),
    "deepspeed.runtime.engine:DeepSpeedEngine": "module",
    "peft.peft_model:PeftModel": "base_model",
    "peft.tuners.tuners_utils:BaseTuner": "model",
    "peft.tuners.tuners_utils:BaseTunerLayer": "base_layer",
    "peft.utils.other:ModulesToSaveWrapper": "original_module",
}
"""By the class of a wrapper: the attribute that is the network, or the layer, inside."""

_ADAPTED = (".base_layer.", ".original_module.")
"""The layers inside of wrappers that have tensors of their own."""


def unwrapped(component: Any) -> Any:
    """The network inside wrappers; anything else as it is."""
    while (attribute := _inside(component)) is not None:
        component = getattr(component, attribute)
    return component


def plain_state(network: nn.Module) -> dict[str, Any]:
    """The state dict of `network`, by the names that it has without wrappers around its parts.

    What adapters add is left out, with a warning. Tensors are the parameters themselves.
    """
    inside = {
        f"{path}.": f"{path}.{attribute}."
        for path, module in network.named_modules(remove_duplicate=False)
        if path and (attribute := _inside(module)) is not None
    }
    state: dict[str, Any] = network.state_dict(keep_vars=True)
    if not inside:
        return state
    adapters = {path for path, start in inside.items() if start.endswith(_ADAPTED)}
    plain: dict[str, Any] = {}
    left_out = []
    for name, tensor in state.items():
        # From the outermost to the innermost, so that a longer path still has its prefix.
        wrappers = [path for path in inside if name.startswith(path)]
        if any(path in adapters and not name.startswith(inside[path]) for path in wrappers):
            left_out.append(name)
            continue
        for path in reversed(wrappers):
            # Some wrappers take their own part out of the names.
            if name.startswith(inside[path]):
                name = path + name.removeprefix(inside[path])
        plain[name] = tensor
    if left_out:
        _log.warning(
            "the adapters of this %s are not saved with it (%s); save them with the library that "
            "made them, or merge them first",
            type(network).__name__,
            listed(left_out, 3),
        )
    return plain


def _inside(component: Any) -> str | None:
    """The attribute of `component` that is the network inside; None if it is not a wrapper."""
    if not isinstance(component, nn.Module):
        return None
    found = (_INSIDE.get(target_of(base)) for base in type(component).__mro__)
    return next(filter(None, found), None)
