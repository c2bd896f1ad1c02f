"""Networks inside wrappers, which compile, train or adapt a network or its parts.

Wrappers are recognised by the name of their class, so that their libraries need not be imported.
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
"""The attribute with the wrapped network or layer, by the class of the wrapper."""

_ADAPTED = (".base_layer.", ".original_module.")
"""The layers inside wrappers that have their own tensors."""


def unwrapped(component: Any) -> Any:
    """Return the network inside wrappers; other objects unchanged."""
    while (attribute := _inside(component)) is not None:
        component = getattr(component, attribute)
    return component


def plain_state(network: nn.Module) -> dict[str, Any]:
    """Return the state dict of `network` with the names that it has without wrappers.

    Tensors that adapters add are left out, with a warning. Tensors are the parameters themselves.
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
        # The outermost first. The loop below starts at the innermost, whose path is the longest.
        wrappers = [path for path in inside if name.startswith(path)]
        if any(path in adapters and not name.startswith(inside[path]) for path in wrappers):
            left_out.append(name)
            continue
        for path in reversed(wrappers):
            # Some wrappers remove their own part from the names.
            if name.startswith(inside[path]):
                name = path + name.removeprefix(inside[path])
        plain[name] = tensor
    if left_out:
        _log.warning(
            "the adapters of this %s are not saved with it (%s); save them with the library that "
            "created them, or merge them first",
            type(network).__name__,
            listed(left_out, 3),
        )
    return plain


def _inside(component: Any) -> str | None:
    """Return the attribute with the wrapped network; None if `component` is not a wrapper."""
    if not isinstance(component, nn.Module):
        return None
    found = (_INSIDE.get(target_of(base)) for base in type(component).__mro__)
    return next(filter(None, found), None)
