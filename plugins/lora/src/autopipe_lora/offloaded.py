"""The weights of modules that offloading keeps elsewhere."""

from __future__ import annotations

from torch import Tensor, nn

from autopipe.errors import PlacementError


def tensor_of(module: nn.Module, name: str) -> Tensor | None:
    """Return the parameter `name` of `module`, also while offloading has it; None if there is none.

    Raises:
        PlacementError: if its values are out of reach.
    """
    found: Tensor | None = getattr(module, name, None)
    if found is None or not found.is_meta:
        return found
    hook = getattr(module, "_hf_hook", None)
    for one in getattr(hook, "hooks", (hook,)):
        weights = getattr(one, "weights_map", None)
        if weights is not None:
            kept: Tensor = weights[name]
            return kept
    raise PlacementError(
        f"the {name} of this {type(module).__name__} has no values; load its weights first"
    )
